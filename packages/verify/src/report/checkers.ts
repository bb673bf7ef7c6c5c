/** Public checkers that were looked for, and why each was or was not run against a canary. */
export const CHECKERS: readonly { readonly name: string; readonly why: string }[] = [
  {
    name: "lynis",
    why: "Debian carries it; it audits a whole system's configuration and needs a shell and its tools, which an instrument's image does not have.",
  },
  {
    name: "checksec",
    why: "Debian carries it; it reads how programs were compiled, which says nothing about a container's walls.",
  },
  {
    name: "tiger, checksecurity, chkrootkit, rkhunter, openscap-scanner",
    why: "Debian carries them; they look at a whole system's settings, or for traces of known rootkits in its files: an instrument's image has neither the tools nor the settings.",
  },
  {
    name: "unhide",
    why: "Debian carries it; it compares ways to list a system's processes as its root, and the processes of a canary are listed from outside anyway.",
  },
  {
    name: "spectre-meltdown-checker",
    why: "Debian carries it; it judges the host's processor and kernel, and says nothing about a container: run it on the host.",
  },
  {
    name: "amicontained",
    why: "not packaged by Debian or npm; what it asks (namespaces, capabilities, seccomp) is among the attempts.",
  },
  {
    name: "deepce, CDK, linpeas",
    why: "not packaged by Debian or npm; their ways out (sockets, devices, release_agent, core_pattern) are among the attempts.",
  },
];
