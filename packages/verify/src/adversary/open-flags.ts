/** Flags of open(2) that attempts use. */
import { constants } from "node:fs";

export const FLAGS = {
  readOnly: constants.O_RDONLY,
  writeOnly: constants.O_WRONLY,
  readWrite: constants.O_RDWR,
  create: constants.O_CREAT | constants.O_WRONLY,
} as const;
