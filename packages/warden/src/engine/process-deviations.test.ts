import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { KernelExpectation } from "./kernel-expectation.ts";
import type { ProcessView } from "./kernel-view.ts";
import { processDeviations } from "./process-deviations.ts";

const expected: KernelExpectation = {
  uid: 1_000_001_000,
  idmap: { base: 1_000_000_000, size: 65_536 },
  capabilities: "0000000000000000",
  mounts: [
    { path: "/", kind: "root" },
    { path: "/run", kind: "memory", sizeBytes: 8 * 2 ** 20 },
    { path: "/run/bulkhead", kind: "read-only", source: "/run/bulkhead/x/sockets/ids" },
    { path: "/data/store", kind: "volume", source: "/var/lib/bulkhead/x/mnt/ids/store/d" },
  ],
  runtimeMounts: ["/dev", "/proc", "/sys"],
  forbiddenMounts: ["/dev/lxd"],
  network: { kind: "own", interfaces: ["lo", "mon0"] },
  memoryBytes: 64 * 2 ** 20,
  processes: 32,
  cpu: { quotaUs: 150_000, periodUs: 100_000 },
  cpuWeight: 205,
  oomScoreAdjust: 600,
  resourceLimits: { "Max core file size": 0, "Max open files": 4096 },
  appArmorPrefix: null,
};

const HOST_MOUNTS = `25 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 25 0:25 / /run rw,nosuid - tmpfs tmpfs rw
41 25 7:3 / /var/lib/bulkhead/x/mnt/ids/store rw,nosuid,nodev,noatime - ext4 /dev/loop3 rw
`;
const MOUNTS = `98 59 254:0 /pool/ids/rootfs / ro,relatime shared:12 - ext4 /dev/vda rw
99 98 0:42 / /dev rw,relatime shared:13 - tmpfs none rw,size=492k
100 98 0:43 / /proc rw,nosuid - proc proc rw
102 98 0:45 / /run rw,nosuid,nodev,noexec shared:46 - tmpfs tmpfs rw,size=8192k,mode=755
114 98 7:3 /d /data/store rw,nosuid,nodev,noatime - ext4 /dev/loop3 rw
117 102 0:25 /bulkhead/x/sockets/ids /run/bulkhead ro,relatime - tmpfs tmpfs rw
`;
const STATUS = `Name:\ttini
State:\tS (sleeping)
Uid:\t1000001000\t1000001000\t1000001000\t1000001000
Gid:\t1000001000\t1000001000\t1000001000\t1000001000
Groups:\t
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t0000000000000000
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t1
`;
const RESOURCES = `Limit                     Soft Limit           Hard Limit           Units
Max core file size        0                    0                    bytes
Max open files            4096                 4096                 files
`;
const view: ProcessView = {
  status: STATUS,
  uidMap: "         0 1000000000      65536\n",
  gidMap: "         0 1000000000      65536\n",
  mountinfo: MOUNTS,
  hostMountinfo: HOST_MOUNTS,
  netns: "net:[2]",
  hostNetns: "net:[1]",
  namedNetns: ["net:[9]"],
  joinedNetns: null,
  interfaces: ["lo"],
  limits: {
    memoryBytes: 64 * 2 ** 20,
    processes: 32,
    cpu: { quotaUs: 150_000, periodUs: 100_000 },
    cpuWeight: 205,
  },
  resourceLimits: RESOURCES,
  oomScoreAdjust: "600\n",
  appArmorLabel: null,
};

const cases: readonly (readonly [name: string, change: Partial<ProcessView>, found: readonly string[]])[] = [
  ["contained", {}, []],
  ["a tap's wire is there", { interfaces: ["lo", "mon0"] }, []],
  [
    "root of the container",
    { status: STATUS.replaceAll("1000001000", "1000000000") },
    [
      "Uid of the first process is 1000000000 1000000000 1000000000 1000000000, not 1000001000 1000001000 1000001000 1000001000",
      "Gid of the first process is 1000000000 1000000000 1000000000 1000000000, not 1000001000 1000001000 1000001000 1000001000",
    ],
  ],
  [
    "a capability, no seccomp, further groups",
    {
      status: STATUS.replace("CapBnd:\t0000000000000000", "CapBnd:\t0000000000001000")
        .replace("Seccomp:\t2", "Seccomp:\t0")
        .replace("Groups:\t", "Groups:\t4 27"),
    },
    [
      "CapBnd of the first process is 0000000000001000, not 0000000000000000",
      "Seccomp of the first process is 0, not 2",
      "Groups of the first process is 4 27, not empty",
    ],
  ],
  [
    "a status that says nothing",
    { status: "" },
    ["Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups"].map(
      (key) => {
        const four = "1000001000 1000001000 1000001000 1000001000";
        const wanted: Record<string, string> = {
          Uid: four,
          Gid: four,
          NoNewPrivs: "1",
          Seccomp: "2",
          Groups: "empty",
        };
        return `${key} of the first process is unset, not ${wanted[key] ?? "0000000000000000"}`;
      },
    ),
  ],
  ["the host's ids", { uidMap: "0 0 4294967295\n" }, ["uid_map is 0 0 4294967295, not 0 1000000000 65536"]],
  ["the host's network", { netns: "net:[1]" }, ["it is in the host's network namespace"]],
  ["an engine's network", { netns: "net:[9]" }, ["it is in a network namespace of the host's"]],
  ["a NIC", { interfaces: ["lo", "eth0"] }, ['the interface "eth0" is not in the profile']],
  [
    "no limits",
    {
      limits: { memoryBytes: null, processes: null, cpu: null, cpuWeight: null },
      resourceLimits: "",
      oomScoreAdjust: "",
    },
    [
      "memory is limited to nothing, not 67108864",
      "processes are limited to nothing, not 32",
      "CPU is limited to nothing, not 1.5",
      "its share of the processor is unset, not 205",
      "its oom_score_adj is unset, not 600",
      "Max core file size is unset of unset, not 0",
      "Max open files is unset of unset, not 4096",
    ],
  ],
  [
    "other limits",
    {
      limits: {
        memoryBytes: 2 ** 30,
        processes: 64,
        cpu: { quotaUs: 200_000, periodUs: 100_000 },
        cpuWeight: 1024,
      },
      resourceLimits: RESOURCES.replace("4096                 4096 ", "4096                 unlimited "),
      oomScoreAdjust: "-1000\n",
    },
    [
      "memory is limited to 1073741824, not 67108864",
      "processes are limited to 64, not 32",
      "CPU is limited to 2, not 1.5",
      "its share of the processor is 1024, not 205",
      "its oom_score_adj is -1000, not 600",
      "Max open files is 4096 of unlimited, not 4096",
    ],
  ],
  ["a writable root", { mountinfo: MOUNTS.replace("/ ro,", "/ rw,") }, ["/ is not ro"]],
  [
    "a memory mount without its flags and its size",
    {
      mountinfo: MOUNTS.replace("/run rw,nosuid,nodev,noexec", "/run rw,nosuid,nodev").replace(
        "size=8192k,",
        "",
      ),
    },
    ["/run is not noexec", "/run is not limited to 8192 KiB"],
  ],
  [
    "another instrument's sockets",
    { mountinfo: MOUNTS.replace("sockets/ids", "sockets/other") },
    ["/run/bulkhead shows /bulkhead/x/sockets/other of 0:25, not /run/bulkhead/x/sockets/ids"],
  ],
  [
    "sockets whose directory was replaced",
    { mountinfo: MOUNTS.replace("sockets/ids", "sockets/ids//deleted") },
    ["/run/bulkhead shows /bulkhead/x/sockets/ids//deleted of 0:25, not /run/bulkhead/x/sockets/ids"],
  ],
  [
    "a volume that is not mounted on the host any more",
    { hostMountinfo: HOST_MOUNTS.replace(/^41.*\n/m, "") },
    ["/data/store shows /d of 7:3, not /var/lib/bulkhead/x/mnt/ids/store/d"],
  ],
  ["a missing volume", { mountinfo: MOUNTS.replace(/^114.*\n/m, "") }, ["/data/store is not mounted"]],
  [
    "further mounts",
    {
      mountinfo: `${MOUNTS}120 98 254:0 /etc /mnt rw - ext4 /dev/vda rw
121 99 0:50 / /dev/lxd rw - tmpfs tmpfs rw
122 98 0:51 / /run rw,nosuid,nodev,noexec - tmpfs tmpfs rw,size=8192k
`,
    },
    ["/run is mounted over", "/mnt is mounted, but not in the profile", "/dev/lxd must not be there"],
  ],
  [
    "a name with a line break in it is one name, and a line that does not parse is not overlooked",
    { mountinfo: `${MOUNTS}120 98 254:0 / /mnt\\012a\\040b rw - ext4 /dev/vda rw\nnonsense\n` },
    ["the mount table has lines that cannot be read", "/mnt\na b is mounted, but not in the profile"],
  ],
];

suite("process deviations", () => {
  for (const [name, change, found] of cases) {
    test(name, () => assert.deepEqual(processDeviations(expected, { ...view, ...change }), found));
  }

  test("an engine joins exactly its own namespace", () => {
    const engine = {
      ...expected,
      network: { kind: "joined", netnsFile: "/run/netns/bulkhead-capture" },
    } as const;
    const joined = { ...view, netns: "net:[9]", interfaces: ["lo", "span0"] };
    assert.deepEqual(processDeviations(engine, { ...joined, joinedNetns: "net:[9]" }), []);
    assert.deepEqual(processDeviations(engine, { ...joined, joinedNetns: "net:[8]" }), [
      "the network namespace is net:[9], not that of /run/netns/bulkhead-capture",
    ]);
    assert.deepEqual(processDeviations(engine, joined), ["/run/netns/bulkhead-capture is missing"]);
  });

  test("where the host has AppArmor, the process is under it and enforced", () => {
    const confined = { ...expected, appArmorPrefix: "lxd-" };
    const label = (appArmorLabel: string | null) => processDeviations(confined, { ...view, appArmorLabel });
    assert.deepEqual(label("lxd-ids_</var/lib/lxd>//&:lxd-ids:unconfined (enforce)\n"), []);
    assert.deepEqual(label("lxd-ids_</var/lib/lxd> (complain)\n"), [
      'its AppArmor label is "lxd-ids_</var/lib/lxd> (complain)"',
    ]);
    assert.deepEqual(label("unconfined\n"), ['its AppArmor label is "unconfined"']);
    assert.deepEqual(label(null), ['its AppArmor label is ""']);
  });
});
