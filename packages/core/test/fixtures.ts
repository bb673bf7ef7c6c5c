/**
 * A catalogue and a site to plan with, and an in-memory host that takes steps: the planner's own
 * idea of what each step achieves.
 */
import { type Catalogue, type Manifest, NOTHING_OBSERVED, type Observed, type Step } from "@bulkhead/schema";
import { parseManifest, type PlanInput } from "../src/index.ts";

const head = (name: string, title: string) => `apiVersion: bulkhead/v1
name: ${name}
version: 1.0.0
title: ${title}
role: passive
image: { base: debian }
run: { command: [/opt/node/bin/node, /opt/instrument/agent.cjs] }
resources: { memory: 128MiB, cpu: 1, processes: 32 }
`;

export const MANIFESTS = {
  "capture-engine": `${head("capture-engine", "Capture engine")}needs:
  - { id: source, kind: capture.source }
`,
  suricata: `${head("suricata", "Suricata IDS").replace("agent.cjs]", "agent.cjs], capabilities: [NET_RAW]")}config: ./config.schema.json
needs:
  - { id: tap, kind: net.mirror, why: inspect traffic }
  - { id: run, kind: storage.transient, size: 64MiB }
  - { id: rules, kind: storage.persistent, size: 128MiB, retention: { default: 90d } }
  - { id: alert, kind: event.emit, type: suricata.alert, audience: [users], class: personal-data }
  - { id: dns, kind: event.emit, type: suricata.dns, audience: [users, instruments], class: personal-data }
`,
  "passive-dns": `${head("passive-dns", "Passive DNS")}needs:
  - { id: db, kind: storage.persistent, size: 256MiB, retention: { default: 365d } }
  - { id: dns, kind: event.consume, type: suricata.dns }
  - { id: ui, kind: ui, title: Passive DNS, roles: [analyst] }
`,
  honeypot: `${head("honeypot", "Honeypot")}needs:
  - { id: port, kind: net.bridged, listen: [tcp/1-1024, udp/53], egress: [tcp/443, "udp/192.0.2.0/24:53"] }
  - { id: nic, kind: net.dedicated }
`,
} as const;

const SURICATA_CONFIG = {
  type: "object",
  additionalProperties: false,
  properties: {
    homeNet: { type: "array", items: { type: "string" } },
    memoryMiB: { type: "integer", minimum: 32, maximum: 4096 },
    ruleFiles: { type: "array", items: { type: "string", format: "site-file" } },
  },
};

export const catalogue: Catalogue = Object.fromEntries(
  Object.entries(MANIFESTS).map(([name, text], index) => [
    name,
    {
      manifest: manifestOf(text),
      manifestFile: `${name}/instrument.yaml`,
      manifestText: text,
      configSchema: name === "suricata" ? SURICATA_CONFIG : null,
      digest: String(index + 1).repeat(64),
    },
  ]),
);

export const SITE = `apiVersion: bulkhead/v1
sensor: demo
interfaces:
  span0: { kind: span, device: eth1 }
instruments:
  capture: { package: capture-engine, source: span0 }
  ids:
    package: suricata
    tap: { from: capture, filter: not port 22 }
    config: { ruleFiles: [./local.rules] }
  pdns: { package: passive-dns, retention: 30d }
grants:
  events:
    - { from: ids, type: suricata.dns, to: pdns }
fleet:
  ui: { pdns: { roles: [analyst] } }
`;

export const FILES = [{ name: "local.rules", sha256: "a".repeat(64) }];

export const emptyHost = (devices: readonly string[] = ["eth1"]): Observed => ({
  ...NOTHING_OBSERVED,
  devices: [...devices],
});

/** The host after `step`, as the executor is bound to leave it. */
export function achieve(host: Observed, step: Step): Observed {
  const taps = (instrument: string) => host.taps.filter((t) => t.instrument !== instrument);
  const instruments = (name: string) => host.instruments.filter((i) => i.name !== name);
  switch (step.kind) {
    case "image.import":
      return { ...host, images: [...host.images, step.digest] };
    case "image.remove":
      return { ...host, images: host.images.filter((d) => d !== step.digest) };
    case "engine.create":
      return { ...host, engines: [...host.engines, step.engine] };
    case "engine.remove":
      return { ...host, engines: host.engines.filter((e) => e !== step.engine) };
    case "span.take": {
      const { engine, interface: name, device } = step;
      const others = host.spans.filter((s) => !(s.engine === engine && s.interface === name));
      return {
        ...host,
        devices: host.devices.filter((d) => d !== device),
        spans: [...others, { engine, interface: name, device, state: "guarded" }],
      };
    }
    case "span.release":
      return {
        ...host,
        devices: [...host.devices, step.device],
        spans: host.spans.filter((s) => !(s.engine === step.engine && s.interface === step.interface)),
      };
    case "volume.create": {
      const { instrument, id, volume: kind, sizeBytes } = step;
      const cut = step.slices === undefined ? {} : { slices: [] };
      return {
        ...host,
        volumes: [...host.volumes, { instrument, id, kind, sizeBytes, mounted: false, ...cut }],
      };
    }
    case "slice.open":
    case "slice.destroy":
      return {
        ...host,
        volumes: host.volumes.map((v) => {
          if (v.instrument !== step.instrument || v.id !== step.id || v.slices === undefined) return v;
          const others = v.slices.filter(({ slice }) => slice !== step.slice);
          if (step.kind === "slice.destroy") return { ...v, slices: others };
          return { ...v, slices: [...others, { slice: step.slice, kept: true, key: "present" as const }] };
        }),
      };
    case "volume.grow":
      return {
        ...host,
        volumes: host.volumes.map((v) =>
          v.instrument === step.instrument && v.id === step.id ? { ...v, sizeBytes: step.sizeBytes } : v,
        ),
      };
    case "volume.detach":
      return {
        ...host,
        volumes: host.volumes.map((v) =>
          v.instrument === step.instrument && v.id === step.id ? { ...v, mounted: false } : v,
        ),
      };
    case "volume.remove":
      return {
        ...host,
        volumes: host.volumes.filter((v) => !(v.instrument === step.instrument && v.id === step.id)),
      };
    case "inbox.remove":
      return { ...host, inboxes: host.inboxes.filter((i) => i.instrument !== step.instrument) };
    case "resources.remove":
      return { ...host, resourceDirs: host.resourceDirs.filter((name) => name !== step.instrument) };
    case "inbox.put":
      return {
        ...host,
        inboxes: [...host.inboxes, { instrument: step.instrument, version: step.version }],
      };
    case "instrument.create": {
      const { kind } = step.spec.network;
      const joins = kind === "port" ? host.ports : kind === "nic" ? host.nics : null;
      if (joins?.some((j) => j.instrument === step.instrument) === false) throw new Error("no namespace");
      const made = {
        name: step.instrument,
        specDigest: step.specDigest,
        state: "stopped" as const,
        pid: null,
        deviations: [],
      };
      return { ...host, instruments: [...instruments(step.instrument), made] };
    }
    case "instrument.remove":
      return {
        ...host,
        instruments: instruments(step.instrument),
        taps: taps(step.instrument),
        volumes: volumesOf(host, step.instrument, false),
      };
    case "instrument.start":
    case "instrument.stop": {
      const state = step.kind === "instrument.start" ? ("running" as const) : ("stopped" as const);
      const changed = host.instruments.map((i) => (i.name === step.instrument ? { ...i, state } : i));
      return {
        ...host,
        instruments: changed,
        taps: state === "stopped" ? taps(step.instrument) : host.taps,
        volumes: volumesOf(host, step.instrument, state === "running"),
      };
    }
    case "wire.connect": {
      const { instrument, engine } = step;
      const filter = host.taps.find((t) => t.instrument === instrument)?.filter ?? null;
      return {
        ...host,
        taps: [...taps(instrument), { instrument, engine, wire: "connected", filter }],
      };
    }
    case "wire.disconnect":
      return { ...host, taps: taps(step.instrument) };
    case "mirror.set":
      return {
        ...host,
        taps: host.taps.map((t) => (t.instrument === step.instrument ? { ...t, filter: step.filter } : t)),
      };
    case "mirror.remove":
      return {
        ...host,
        taps: host.taps.map((t) => (t.instrument === step.instrument ? { ...t, filter: null } : t)),
      };
    case "segment.create": {
      const { segment, device, vlan } = step;
      const former = host.segments.find((s) => s.segment === segment)?.state === "ready";
      const there = former || (host.devices.includes(device) && (vlan === null || host.vlanDevices));
      return {
        ...host,
        devices: there ? host.devices.filter((d) => d !== device) : host.devices,
        segments: [
          ...host.segments.filter((s) => s.segment !== segment),
          { segment, device, vlan, state: there ? "ready" : "waiting" },
        ],
      };
    }
    case "segment.remove": {
      const gone = host.segments.find((s) => s.segment === step.segment);
      return {
        ...host,
        devices: gone?.state === "ready" ? [...host.devices, gone.device] : host.devices,
        segments: host.segments.filter((s) => s.segment !== step.segment),
        ports: host.ports.map((p) =>
          p.segment === step.segment ? { ...p, segment: null, state: "broken" } : p,
        ),
      };
    }
    case "port.connect": {
      const { instrument, segment, policy } = step;
      if (!host.segments.some((s) => s.segment === segment)) throw new Error(`no segment ${segment}`);
      const port = { instrument, segment, policy, state: "connected" as const, addresses: [], noLease: null };
      return { ...host, ports: [...host.ports.filter((p) => p.instrument !== instrument), port] };
    }
    case "port.disconnect":
      return { ...host, ports: host.ports.filter((p) => p.instrument !== step.instrument) };
    case "nic.give": {
      const { instrument, device, policy } = step;
      const held = host.nics.some((n) => n.device === device);
      const there = held || host.devices.includes(device);
      const nic = {
        instrument,
        device: there ? device : null,
        policy,
        state: there ? ("given" as const) : ("waiting" as const),
        addresses: [],
        noLease: null,
      };
      return {
        ...host,
        devices: host.devices.filter((d) => d !== device),
        nics: [...host.nics.filter((n) => n.instrument !== instrument), nic],
      };
    }
    case "nic.return": {
      const device = host.nics.find((n) => n.instrument === step.instrument)?.device ?? null;
      return {
        ...host,
        devices: device === null ? host.devices : [...host.devices, device],
        nics: host.nics.filter((n) => n.instrument !== step.instrument),
      };
    }
    case "egress.open": {
      const { interface: name, device, setup } = step;
      if (host.egress?.device !== device && !host.devices.includes(device)) throw new Error(`no ${device}`);
      const former = { policy: null, process: false, ...host.egress };
      return {
        ...host,
        devices: host.devices.filter((d) => d !== device),
        egress: { ...former, interface: name, device, setup, state: "open", addresses: [], noLease: null },
      };
    }
    case "egress.permit":
      if (host.egress === null) throw new Error("no namespace for the proxy");
      return { ...host, egress: { ...host.egress, policy: step.policyDigest, process: true } };
    case "egress.close": {
      const device = host.egress?.device ?? null;
      return { ...host, devices: device === null ? host.devices : [...host.devices, device], egress: null };
    }
  }
}

export function manifestOf(text: string): Manifest {
  const parsed = parseManifest(text, "instrument.yaml");
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
  return parsed.value;
}

function volumesOf(host: Observed, instrument: string, mounted: boolean): Observed["volumes"] {
  return host.volumes.map((v) => (v.instrument === instrument ? { ...v, mounted } : v));
}

/** A site to be planned on an empty host. */
export const inputOf = (text: string, more: Partial<PlanInput> = {}): PlanInput => ({
  text,
  file: "site.yaml",
  catalogue,
  accepted: {},
  files: FILES,
  rejectedFilters: {},
  observed: emptyHost(),
  stopped: [],
  held: [],
  ...more,
});
