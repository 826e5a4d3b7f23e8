/**
 * Reads what a client sends and refuses what can't be right: names, ids, numbers
 * and durations, a body that is bounded while it arrives, JSON in strict UTF-8,
 * and no field that is not known (a misspelled one would be lost in silence).
 * Each refusal names field, value and remedy.
 */
import { Invalid, maxAttachments, maxNameLength, maxTextLength, TooLarge } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { isVisible, visible, visibleValue } from "../visible.ts"
import { arriving } from "./arriving.ts"
import { Rejection } from "./problems.ts"
import type { Serving } from "./serving.ts"

/** A search parameter as the router parsed it. */
export type Param = string | ReadonlyArray<string> | undefined

const invalid = (field: string, value: string, remedy: string) =>
  new Invalid({ field, value: `"${visible(value)}"`, remedy })

/** Why a name can't be one: names stay in logs, on screens and in command lines, and never become paths. */
export const wrongName = (field: string, name: string): Invalid | undefined => {
  if (name === "") return invalid(field, name, "must not be empty")
  if (name.length > maxNameLength) return invalid(field, name, `use at most ${maxNameLength} characters`)
  if (!isVisible(name)) return invalid(field, name, "leave out control and bidirectional characters")
  if (name !== name.trim()) return invalid(field, name, "leave out the space at its ends")
  return undefined
}

/** As `wrongName`, for what may end up as an argument or beside a file: no slashes, no leading dash or dot. */
export const wrongPlainName = (field: string, name: string): Invalid | undefined => {
  if (/[/\\]/.test(name)) return invalid(field, name, "leave out slashes")
  if (/^[-.]/.test(name)) return invalid(field, name, "begin with something other than a dash or a dot")
  return wrongName(field, name)
}

/** Why an idempotency key can't be one. */
export const wrongKey = (key: string, field = "Idempotency-Key"): Invalid | undefined =>
  /^[!-~]+$/.test(key) && key.length <= maxNameLength
    ? undefined
    : invalid(field, key, `use 1 to ${maxNameLength} visible ASCII characters without spaces`)

const single = (field: string, value: Param): string | Invalid | undefined =>
  value === undefined || typeof value === "string" ? value : invalid(field, value.join(","), "give it once")

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

/** A duration such as `30s`, `1500ms` or `2m`, in milliseconds and at most `max`; 0 when there is none. */
export const duration = (field: string, value: Param, max: number): number | Invalid => {
  const text = single(field, value)
  if (text === undefined) return 0
  if (typeof text !== "string") return text
  const match = /^([0-9]{1,9})(ms|s|m)$/.exec(text)
  if (match === null) return invalid(field, text, "use a number and a unit: 1500ms, 30s or 2m")
  return Math.min(max, Number(match[1]) * (units[match[2] ?? ""] ?? 0))
}

/** A whole number between `min` and `max`; `otherwise` when there is none. */
export const whole = (
  field: string,
  value: Param,
  bounds: { readonly min: number; readonly max: number; readonly otherwise: number }
): number | Invalid => {
  const text = single(field, value)
  if (text === undefined) return bounds.otherwise
  if (typeof text !== "string") return text
  const number = /^[0-9]{1,16}$/.test(text) ? Number(text) : -1
  return number < bounds.min || number > bounds.max
    ? invalid(field, text, `use a whole number from ${bounds.min} to ${bounds.max}`)
    : number
}

const tooLarge = (size: number, limit: number) => new TooLarge({ field: "body", size, limit, unit: "bytes" })

const unsupported = (detail: string) => new Rejection({ status: 415, type: "unsupported-content", detail })

/** The length that the client announces; refused before a byte of it is read when it is over the limit. */
export const announced = (request: HttpServerRequest.HttpServerRequest, limit: number): TooLarge | undefined => {
  const length = Number(request.headers["content-length"] ?? 0)
  return length > limit ? tooLarge(length, limit) : undefined
}

const strict = new TextDecoder("utf-8", { fatal: true })
const anObject = 'send one JSON object, for example {"text": "hello"}'

const parse = (bytes: ArrayBuffer | Uint8Array): Effect.Effect<unknown, Invalid> => {
  let text: string
  try {
    text = strict.decode(bytes)
  } catch {
    return Effect.fail(new Invalid({ field: "body", value: "is not valid UTF-8", remedy: "encode the JSON as UTF-8" }))
  }
  try {
    return Effect.succeed(JSON.parse(text))
  } catch {
    return Effect.fail(
      text === ""
        ? new Invalid({ field: "body", value: "is empty", remedy: anObject })
        : invalid("body", text, anObject)
    )
  }
}

const endedEarly = () => new Invalid({ field: "body", value: "ended early", remedy: "send all of it" })

/** The JSON of a body, bounded while it arrives, also when it is chunked and announces nothing. */
export const readJson = (
  serving: Serving,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<unknown, Invalid | TooLarge | Rejection> => {
  const type = request.headers["content-type"]
  if (type !== "application/json" && type?.split(";", 1)[0]?.trim().toLowerCase() !== "application/json") {
    return Effect.fail(unsupported(`content-type ${visible(type ?? "is missing")}: send application/json`))
  }
  const coding = request.headers["content-encoding"]
  if (coding !== undefined && coding !== "identity") {
    return Effect.fail(unsupported(`content-encoding ${visible(coding)}: send the body as it is`))
  }
  const limit = serving.settings.bodyLimit
  const over = announced(request, limit)
  if (over !== undefined) return Effect.fail(over)
  const read = arriving(serving, request)
  if (read !== undefined)
    return Effect.matchEffect(read, { onSuccess: parse, onFailure: () => Effect.fail(endedEarly()) })
  return serving.whileReading(request.arrayBuffer).pipe(
    Effect.mapError((error) =>
      error.reason._tag === "RequestParseError" && error.reason.reason === "BodyTooLarge"
        ? tooLarge(limit + 1, limit)
        : endedEarly()
    ),
    Effect.flatMap(parse)
  )
}

/** A message as it comes over the wire. */
export const Message = Schema.Struct({
  text: Schema.String,
  sender: Schema.optionalKey(Schema.String),
  attachments: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        type: Schema.String,
        name: Schema.optionalKey(Schema.String),
        data: Schema.optionalKey(Schema.String),
        hash: Schema.optionalKey(Schema.String)
      })
    )
  )
})

type MessageType = typeof Message.Type

/** Whether a message is what most are, a text and perhaps a sender, told faster than by the schema that all others meet. */
const isPlainMessage = (input: unknown): input is MessageType => {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return false
  for (const key in input) if (key !== "text" && key !== "sender") return false
  const { sender, text } = input as Readonly<Record<string, unknown>>
  return typeof text === "string" && (typeof sender === "string" || (sender === undefined && !("sender" in input)))
}

/** A post as it comes over the wire. */
export const Post = Schema.Struct({ text: Schema.String })

const missing = "is missing"

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) =>
    issue._tag === "UnexpectedKey"
      ? "is not a known field; leave it out or correct its name"
      : issue._tag === "MissingKey"
        ? missing
        : SchemaIssue.defaultLeafHook(issue).replace(/^Expected (?=([aeiou])?)/, (_, vowel?: string) =>
            vowel === undefined ? "has to be a " : "has to be an "
          )
})

type IssuePath = ReadonlyArray<PropertyKey | { readonly key: PropertyKey }>

const pathText = (path: IssuePath, whole: string): string => {
  let text = ""
  for (const part of path) {
    const key = typeof part === "object" ? part.key : part
    text += typeof key === "number" ? `[${key}]` : text === "" ? String(key) : `.${String(key)}`
  }
  return text === "" ? whole : visible(text)
}

const at = (input: unknown, path: IssuePath): unknown => {
  let value = input
  for (const part of path) {
    const key = typeof part === "object" ? part.key : part
    if (typeof value !== "object" || value === null) return undefined
    value = Reflect.get(value, key)
  }
  return value
}

/** A decoder, compiled once, whose failure names the first field that is wrong, or the `whole` of it. */
export const decoder = <A>(
  schema: Schema.ConstraintCodec<A, unknown, never, never>,
  whole = { field: "body", remedy: anObject }
) => {
  const decode = Schema.decodeUnknownResult(schema, { onExcessProperty: "error" })
  return (input: unknown): Effect.Effect<A, Invalid> => {
    const result = decode(input)
    if (result._tag === "Success") return Effect.succeed(result.success)
    const [issue] = format(result.failure.issue).issues
    const path = issue?.path ?? []
    const value = at(input, path)
    const field = pathText(path, whole.field)
    const message = issue?.message ?? "is not valid"
    return Effect.fail(
      message === missing
        ? new Invalid({ field, value: missing, remedy: "add it" })
        : new Invalid({
            field,
            value: visibleValue(value),
            remedy: path.length === 0 ? whole.remedy : message
          })
    )
  }
}

/** Why a text can't be accepted. */
export const wrongText = (text: string): Invalid | TooLarge | undefined => {
  if (text.length > maxTextLength) {
    return new TooLarge({ field: "text", size: text.length, limit: maxTextLength, unit: "characters" })
  }
  return text.isWellFormed() ? undefined : invalid("text", text, "leave out lone surrogates")
}

/** Why so many attachments can't be accepted. */
export const tooMany = (count: number): TooLarge | undefined =>
  count > maxAttachments
    ? new TooLarge({ field: "attachments", size: count, limit: maxAttachments, unit: "files" })
    : undefined

const decodeOther = decoder(Message)

/** Decodes a message. */
export const decodeMessage = (input: unknown): Effect.Effect<MessageType, Invalid> =>
  isPlainMessage(input) ? Effect.succeed(input) : decodeOther(input)
