/**
 * Why a call of a model failed, in the classes that decide what happens next: once
 * more at once, never again with this input, or only after somebody has put
 * something right. Servers say the same thing in a dozen shapes; all of them are
 * read here. A failure's text is for the log and never holds a key: it stays whole until that
 * is taken out (call.ts), for a cut through a key would leave a piece of it.
 */
import * as Agent from "@sluice/runtime/Agent"

/**
 * `Transient` may work in a moment; `Operator` needs somebody (key, quota), and so does `NoModel`, the person who chose it;
 * `Input` can never be answered; `TooLong`, `Images` and `Parameter` can be asked
 * in another way; `Later` may work in a while, but hardly at once. `Full` has no place in its line yet, and
 * `Stopping` is being stopped: neither is the turn's fault.
 */
export type Kind =
  | "Transient"
  | "Operator"
  | "NoModel"
  | "Input"
  | "TooLong"
  | "Images"
  | "Parameter"
  | "Later"
  | "Full"
  | "Stopping"

/** A call that failed. `message` is for the log. */
export interface Failure {
  readonly _tag: "Failure"
  readonly kind: Kind
  readonly message: string
  readonly status?: number
  /** Milliseconds after which the server wants to be asked again. */
  readonly retryAfter?: number
  /** How many tokens fit, when the server said it. */
  readonly limit?: number
  /** With `Images`: it takes none at all. */
  readonly never?: boolean
  /** The part of the request that the server does not take. */
  readonly parameter?: "max_tokens" | "stream_options" | "temperature"
}

/** Makes a failure. */
export const failure = (
  kind: Kind,
  message: string,
  more: Partial<Omit<Failure, "_tag" | "kind" | "message">> = {}
): Failure => ({ _tag: "Failure", kind, message, ...more })

/** What the log is told. */
export class ModelFailed extends Error {
  override readonly name = "ModelFailed"
}

/** The failure as the pipeline sees it: an input that can't be answered is final, and so is a model that a person chose and that is not there. */
export const agentError = ({ kind, message }: Failure): Agent.AgentError => {
  const isInput = kind === "Input" || kind === "TooLong" || kind === "Images"
  const reason = isInput ? "Rejected" : kind === "NoModel" ? "NoModel" : "Failed"
  return new Agent.AgentError({ reason, cause: new ModelFailed(message) })
}

/** What a server says of an error, wherever it put it. */
interface Said {
  readonly message: string
  readonly type: string
  readonly code: string
  readonly limit?: number
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const textOf = (value: unknown): string =>
  typeof value === "string" ? value : typeof value === "number" ? String(value) : ""

/** `{"error": {...}}`, `{"error": "..."}`, `{"message": ...}`, `{"detail": ...}`, each also in a list, or no JSON at all. */
export const said = (body: unknown): Said => {
  if (Array.isArray(body)) return said(body[0])
  if (typeof body === "string") return { message: body, type: "", code: "" }
  if (!isRecord(body)) return { message: "", type: "", code: "" }
  const { error } = body
  const inner = isRecord(error) ? error : body
  const detail = typeof body["detail"] === "string" ? body["detail"] : JSON.stringify(body["detail"] ?? "")
  const message = textOf(inner["message"]) || textOf(error) || (body["detail"] === undefined ? "" : detail)
  const limit = inner["n_ctx"]
  return {
    message,
    type: textOf(inner["type"]),
    code: textOf(inner["code"]),
    ...(typeof limit === "number" ? { limit } : {})
  }
}

const tooLong =
  /context.?(length|size|window)|maximum context|prompt is too long|too many (input )?tokens|reduce the length|exceed_context_size|number of tokens to keep from the initial prompt/i
const images = /\b(images?|image_url|vision|multi-?modal|mmproj)\b/i
/** Said of a model that takes no image at all, not of one image that is broken. */
const noImages = /not support|unsupported|not enabled|does not|doesn't|cannot|mmproj|without/i
const refusesParameter = /unsupported|not supported|unrecognized|unknown|not permitted|extra inputs|only the default/i
const quota = /insufficient_quota|billing|credit balance|exceeded your current quota|payment/i

// OpenAI, Groq: a code; Ollama, vLLM: 404 with a sentence; OpenRouter, Mistral, DeepSeek: 400.
const noModel =
  /model_not_found|invalid_?model|not a valid model|invalid model|model\b.{0,120}?(?:not found|(?:does|do)(?: not|n't) exist|not exist)/i
// Anthropic names only the field.
const fieldModel = /^model: /

const limitIn = (message: string): number | undefined => {
  const found =
    /(?:maximum(?: context length)?(?: is| of)?|context (?:length|size|window)(?: is| of)?|> )\s*(\d{3,8})/i.exec(
      message
    ) ?? /\((\d{3,8}) tokens\)/.exec(message)
  return found?.[1] === undefined ? undefined : Number(found[1])
}

const parameterIn = (message: string): Failure["parameter"] =>
  !refusesParameter.test(message)
    ? undefined
    : (["max_tokens", "stream_options", "temperature"] as const).find((name) => message.includes(name))

/** For the log, once a key that it quoted is out of it. What a server calls an error stands last. */
export const shortened = (text: string): string =>
  text.length > 600 ? `${text.slice(0, 500)} ... ${text.slice(-95)}` : text

const transient: ReadonlySet<number> = new Set([408, 409, 425, 429])
const operators: ReadonlySet<number> = new Set([401, 402, 403, 404, 405, 407, 410])

/** Types of errors that come without a status of their own, in the middle of a stream. */
const byType: Readonly<Record<string, number>> = {
  overloaded_error: 529,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  api_error: 500,
  server_error: 500,
  timeout_error: 504,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  invalid_request_error: 400,
  BadRequestError: 400,
  request_too_large: 413,
  exceed_context_size_error: 400
}

const kindOf = (status: number, { code, message, type }: Said): Kind => {
  const words = `${message} ${type} ${code}`
  if (quota.test(words)) return "Operator"
  // A server may say by 500 what others say by 400: once more would be refused once more.
  if (status !== 401 && status !== 403 && status !== 429) {
    if (tooLong.test(words)) return "TooLong"
    if (images.test(message)) return "Images"
    if (parameterIn(message) !== undefined) return "Parameter"
  }
  if ((status === 400 || status === 404) && (noModel.test(words) || fieldModel.test(message))) return "NoModel"
  if (transient.has(status) || status >= 500) return "Transient"
  if (operators.has(status) || (status >= 300 && status < 400)) return "Operator"
  return "Input"
}

const told = (status: number, { message, type, code }: Said): string => {
  // What a server says of a key may quote the key.
  if (status === 401) return "the server does not accept the key (401)"
  const words = [type, code]
    .filter((word) => word !== "" && word !== String(status) && !message.includes(word))
    .join(", ")
  const detail = [message, words].filter((part) => part !== "").join("; ")
  const remedy = status >= 300 && status < 400 ? "; it sends calls elsewhere, so use that address" : ""
  return `the server answered with ${status}${remedy}${detail === "" ? "" : `: ${detail}`}`
}

/** The failure behind an answer that is none. */
export const fromAnswer = (status: number, body: unknown, retryAfter?: number): Failure => {
  const heard = said(body)
  const kind = kindOf(status, heard)
  const limit = kind === "TooLong" ? (heard.limit ?? limitIn(heard.message)) : undefined
  const parameter = kind === "Parameter" ? parameterIn(heard.message) : undefined
  return failure(kind, told(status, heard), {
    status,
    ...(retryAfter === undefined ? {} : { retryAfter }),
    ...(limit === undefined ? {} : { limit }),
    ...(kind === "Images" ? { never: noImages.test(heard.message) } : {}),
    ...(parameter === undefined ? {} : { parameter })
  })
}

/** The failure behind an error in the middle of a stream, or in an answer that calls itself good. */
export const fromEvent = (body: unknown): Failure => {
  const heard = said(body)
  const code = Number(heard.code)
  const status = code >= 400 && code < 600 ? code : (byType[heard.type] ?? byType[heard.code] ?? 500)
  return fromAnswer(status, body)
}

/** When to ask again, in milliseconds from `now`: seconds, a date, or the header that some servers give in milliseconds. */
export const retryAfterOf = (
  headers: Readonly<Record<string, string | undefined>>,
  now: number
): number | undefined => {
  const millis = Number(headers["retry-after-ms"] ?? Number.NaN)
  if (Number.isFinite(millis) && millis >= 0) return millis
  const text = headers["retry-after"]
  if (text === undefined || text.trim() === "") return undefined
  const seconds = Number(text)
  if (Number.isFinite(seconds)) return seconds < 0 ? undefined : seconds * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
