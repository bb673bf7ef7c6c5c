/** Flags of open(2) that attempts use. */
import { constants } from "node:fs";

export const FLAGS = {
  readOnly: constants.O_RDONLY,
  writeOnly: constants.O_WRONLY,
  readWrite: constants.O_RDWR,
  /** O_PATH of asm-generic/fcntl.h: a name that is held, without its content. */
  path: 0o10000000,
  create: constants.O_CREAT | constants.O_WRONLY,
} as const;
