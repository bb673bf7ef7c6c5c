/**
 * The XDP program that drops every frame which an instrument puts onto its wire, as the bytes of a relocatable ELF
 * object that iproute2 loads. Pure: made here, so that no compiler is needed on a sensor.
 *
 * Invariants: the program is `return XDP_DROP` and nothing else; its section is `xdp.frags`, because the kernel
 * refuses a program without the frags flag on a veth whose MTU is over a page.
 */

/** Section that holds the program: `ip link set dev V xdpdrv obj FILE sec xdp.frags`. */
export const xdpDropSection = "xdp.frags";

/** The name under which the kernel shows the program. */
export const xdpDropProgram = "xdp_drop";

/**
 * The object file: ELF64, little-endian, ET_REL, EM_BPF; sections program, license, .symtab, .strtab.
 * Layouts: System V ABI chapter 4 (Elf64_Ehdr, Elf64_Shdr, Elf64_Sym); instructions: kernel bpf/instruction-set.rst.
 */
export function xdpDropObject(): Uint8Array {
  const strings = stringTable(["", xdpDropSection, "license", ".symtab", ".strtab", xdpDropProgram]);
  const program = Buffer.concat([instruction(opMove, XDP_DROP), instruction(opExit, 0)]);
  const license = Buffer.from("GPL\0");
  const symbols = Buffer.concat([
    Buffer.alloc(symbolSize),
    symbol({ name: strings.offset(xdpDropProgram), section: 1, sizeBytes: program.length }),
  ]);
  const sections: readonly Section[] = [
    { name: xdpDropSection, type: SHT_PROGBITS, flags: SHF_ALLOC | SHF_EXECINSTR, align: 8, data: program },
    { name: "license", type: SHT_PROGBITS, flags: SHF_ALLOC, align: 1, data: license },
    // sh_link: the string table; sh_info: index of the first global symbol.
    { name: ".symtab", type: SHT_SYMTAB, align: 8, link: 4, info: 1, entrySize: symbolSize, data: symbols },
    { name: ".strtab", type: SHT_STRTAB, align: 1, data: strings.data },
  ];
  return assemble(sections, (name) => strings.offset(name));
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly flags?: number;
  readonly align: number;
  readonly link?: number;
  readonly info?: number;
  readonly entrySize?: number;
  readonly data: Buffer;
}

const XDP_DROP = 1;
/** BPF_ALU64 | BPF_MOV | BPF_K on r0, and BPF_JMP | BPF_EXIT. */
const opMove = 0xb7;
const opExit = 0x95;

const SHT_PROGBITS = 1;
const SHT_SYMTAB = 2;
const SHT_STRTAB = 3;
const SHF_ALLOC = 2;
const SHF_EXECINSTR = 4;
const EM_BPF = 247;
const headerSize = 64;
const sectionHeaderSize = 64;
const symbolSize = 24;

function instruction(opcode: number, immediate: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(opcode, 0);
  bytes.writeInt32LE(immediate, 4);
  return bytes;
}

/** A global function that begins its section. */
function symbol(of: { readonly name: number; readonly section: number; readonly sizeBytes: number }): Buffer {
  const bytes = Buffer.alloc(symbolSize);
  bytes.writeUInt32LE(of.name, 0);
  bytes.writeUInt8(0x12, 4); // STB_GLOBAL << 4 | STT_FUNC
  bytes.writeUInt16LE(of.section, 6);
  bytes.writeBigUInt64LE(BigInt(of.sizeBytes), 16);
  return bytes;
}

function stringTable(names: readonly string[]): { readonly data: Buffer; offset(name: string): number } {
  const data = Buffer.from(`${names.join("\0")}\0`);
  return { data, offset: (name) => (name === "" ? 0 : data.indexOf(`\0${name}\0`) + 1) };
}

/** Header, the sections' contents, then the section headers; section 0 is the null section. */
function assemble(sections: readonly Section[], nameOffset: (name: string) => number): Buffer {
  let offset = headerSize;
  const placed = sections.map((section) => {
    offset = aligned(offset, section.align);
    const at = offset;
    offset += section.data.length;
    return { section, at };
  });
  const headersAt = aligned(offset, 8);
  const bytes = Buffer.alloc(headersAt + sectionHeaderSize * (sections.length + 1));
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // \x7fELF, 64 bit, little-endian, version 1
  bytes.writeUInt16LE(1, 16); // ET_REL
  bytes.writeUInt16LE(EM_BPF, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(headersAt), 40);
  bytes.writeUInt16LE(headerSize, 52);
  bytes.writeUInt16LE(sectionHeaderSize, 58);
  bytes.writeUInt16LE(sections.length + 1, 60);
  bytes.writeUInt16LE(sections.length, 62); // .strtab, the last, names the sections too
  for (const [index, { section, at }] of placed.entries()) {
    bytes.set(section.data, at);
    const header = headersAt + sectionHeaderSize * (index + 1);
    bytes.writeUInt32LE(nameOffset(section.name), header);
    bytes.writeUInt32LE(section.type, header + 4);
    bytes.writeBigUInt64LE(BigInt(section.flags ?? 0), header + 8);
    bytes.writeBigUInt64LE(BigInt(at), header + 24);
    bytes.writeBigUInt64LE(BigInt(section.data.length), header + 32);
    bytes.writeUInt32LE(section.link ?? 0, header + 40);
    bytes.writeUInt32LE(section.info ?? 0, header + 44);
    bytes.writeBigUInt64LE(BigInt(section.align), header + 48);
    bytes.writeBigUInt64LE(BigInt(section.entrySize ?? 0), header + 56);
  }
  return bytes;
}

function aligned(offset: number, to: number): number {
  return Math.ceil(offset / to) * to;
}
