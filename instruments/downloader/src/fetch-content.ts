/**
 * Fetches the content of a source into a file: conditionally where a version is there, from where it was cut where a
 * beginning is there.
 *
 * Invariants: bytes are counted as they come, and no more than the source's size are ever on the disk; a part is only
 * put behind a beginning of the same version. It judges nothing of the content.
 */
import { type Answer, type RequestPort, unexpectedStatus, withAnswer } from "./answer.ts";
import { BodyFile } from "./body-file.ts";
import type { BeforeStep } from "./durable.ts";
import {
  type CutAnswer,
  judgeHead,
  mediaTypeOf,
  parseContentRange,
  requestHeaders,
  strongValidator,
  type Validators,
  validatorsOf,
} from "./http-head.ts";
import { Problem } from "./problem.ts";
import type { Source } from "./settings.ts";

export interface FetchOrder {
  readonly source: Source;
  /** Of the version that is there; null: it is fetched whatever is there. */
  readonly validators: Validators | null;
  /** Where it goes, and where the beginning of an earlier try may lie. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
  readonly beforeStep: BeforeStep;
}

export type Fetched =
  | { readonly outcome: "not-modified" }
  | { readonly outcome: "fetched"; readonly validators: Validators; readonly mediaType: string | null };

/** @throws Problem */
export async function fetchContent(request: RequestPort, order: FetchOrder): Promise<Fetched> {
  const kept = await BodyFile.kept(order.path);
  const { source, signal } = order;
  const headers = (url: URL) => requestHeaders(url, order.validators, kept);
  return withAnswer(request, { url: new URL(source.url), headers, source, signal }, async (answer) => {
    const asked = headers(answer.url);
    if (answer.status === 304 && ("if-none-match" in asked || "if-modified-since" in asked)) {
      await BodyFile.drop(order.path);
      return { outcome: "not-modified" };
    }
    if (answer.status !== 200 && !(answer.status === 206 && "range" in asked)) {
      // What is kept of an earlier answer is of no use to this host any more.
      if (answer.status === 416 || answer.status === 206) await BodyFile.drop(order.path);
      throw unexpectedStatus(answer);
    }
    const goesOn = answer.status === 206 ? kept : null;
    const validators = validatorsOf(answer.url, answer.headers);
    const strong = strongValidator(validators, answer.headers["date"]);
    try {
      const total = goesOn === null ? null : requirePart(answer, validators, goesOn);
      const wanted = {
        maxBytes: source.maxSize,
        contentTypes: source.contentTypes,
        lengthNeeded: source.verify === "none",
      };
      judgeHead(answer.headers, wanted, goesOn?.bytes ?? 0);
      await using body =
        goesOn === null
          ? await BodyFile.begin(
              order.path,
              strong === null ? null : { url: answer.url.href, validator: strong },
              order.beforeStep,
            )
          : await BodyFile.goOn(order.path, goesOn, order.beforeStep);
      await readBody(answer, body, order);
      if (body.bytes === 0) throw new Problem("empty", "nothing came");
      if (total !== null && body.bytes !== total) {
        throw new Problem("length-unknown", `${body.bytes} of ${total} bytes came, and no more were coming`);
      }
    } catch (error) {
      if (!(error instanceof Problem) || error.kind === "refused") await BodyFile.drop(order.path);
      throw error;
    }
    return { outcome: "fetched", validators, mediaType: mediaTypeOf(answer.headers) };
  });
}

/** @returns how many bytes it is in all, or null */
function requirePart({ headers, url }: Answer, validators: Validators, kept: CutAnswer): number | null {
  const range = parseContentRange(headers["content-range"]);
  const isOther =
    kept.validator.startsWith('"') && validators.etag !== null && validators.etag !== kept.validator;
  if (range?.from === kept.bytes && !isOther) return range.total;
  throw new Problem("length-unknown", `${url.host} sent another part than was asked for`);
}

async function readBody(answer: Answer, body: BodyFile, order: FetchOrder): Promise<void> {
  try {
    for await (const chunk of answer.body) {
      order.onBytes(chunk.byteLength);
      if (body.bytes + chunk.byteLength > order.source.maxSize) {
        throw new Problem("too-large", `more than ${order.source.maxSize} bytes came`);
      }
      await body.append(chunk);
    }
  } catch (error) {
    if (error instanceof Problem && error.kind === "failed") await body.keep();
    throw error;
  }
}
