/** Stable codes of the API's problems, by their HTTP status; each stands in docs/errors.md. */
export type ProblemCode =
  | "rules-bad-request"
  | "rules-no-such-thing"
  | "rules-not-permitted"
  | "rules-nothing-to-do"
  | "rules-wrong-method";

const CODES: Readonly<Record<number, ProblemCode>> = {
  403: "rules-not-permitted",
  404: "rules-no-such-thing",
  405: "rules-wrong-method",
  409: "rules-nothing-to-do",
};

export function problemCode(status: number): ProblemCode {
  return CODES[status] ?? "rules-bad-request";
}
