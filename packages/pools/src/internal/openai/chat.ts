/**
 * Chat completions, whole and in parts. Servers that call themselves compatible leave out, add and rename; what is needed
 * is read, what is not known passes through. An answer that breaks off is a failure, never an answer that is short.
 */
import * as Sse from "effect/encoding/Sse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatAnswer, ChatPart, TextRequest, Tokens } from "../../Capabilities.ts"
import type { WorkerError } from "../../PoolError.ts"
import { deepest, nestsTooDeep } from "../nesting.ts"
import { ask, type Body, bytes, failure, json, type Line, parsed, post, quoted, said } from "./line.ts"

const maybe = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Words = Schema.Record(Schema.String, Schema.Json)

const Answer = Schema.Struct({
  choices: maybe(
    Schema.Array(
      Schema.Struct({
        index: maybe(Schema.Finite),
        message: maybe(Words),
        delta: maybe(Words),
        logprobs: maybe(Schema.Json),
        finish_reason: maybe(Schema.String)
      })
    )
  ),
  usage: maybe(Schema.Unknown)
})

const Usage = Schema.Struct({ prompt_tokens: maybe(Schema.Finite), completion_tokens: maybe(Schema.Finite) })

const decode = Schema.decodeUnknownOption(Answer)
const decodeUsage = Schema.decodeUnknownOption(Usage)

const tokensOf = (usage: unknown): { readonly tokens?: Tokens } => {
  const found = Option.getOrUndefined(decodeUsage(usage))
  const { completion_tokens: output, prompt_tokens: input } = found ?? {}
  const tokens: Tokens = {
    ...(typeof input === "number" ? { input } : {}),
    ...(typeof output === "number" ? { output } : {})
  }
  return Object.keys(tokens).length === 0 ? {} : { tokens }
}

/** Content is a text, null, or a list of parts. */
const textOf = (content: Schema.Json | undefined): string => {
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return ""
  return content
    .map((part: Schema.Json) =>
      typeof part === "object" && part !== null && "text" in part && typeof part.text === "string" ? part.text : ""
    )
    .join("")
}

const bodyOf = (model: string, { messages, settings }: TextRequest, stream: boolean): Body => ({
  ...settings,
  model,
  messages,
  stream,
  ...(stream ? { stream_options: { include_usage: true } } : {})
})

const logprobsOf = (choice: { readonly logprobs?: Schema.Json | null } | undefined) =>
  choice?.logprobs === undefined || choice.logprobs === null ? {} : { logprobs: choice.logprobs }

const first = (answer: typeof Answer.Type) => answer.choices?.find(({ index }) => (index ?? 0) === 0)

/** What is passed on is written again, and nobody could. */
const tooDeep = failure("Transport", `the server sent an answer that nests deeper than ${deepest} levels`)

/** One whole answer. */
export const answer = Effect.fnUntraced(function* (line: Line, model: string, request: TextRequest) {
  const sent = yield* ask(line, "/chat/completions", bodyOf(model, request, false))
  if (nestsTooDeep(sent)) return yield* tooDeep
  const found = decode(sent)
  const choice = Option.isSome(found) ? first(found.value) : undefined
  if (Option.isNone(found) || choice?.message === undefined || choice.message === null) {
    return yield* failure("Transport", "the server sent an answer without a message")
  }
  return {
    text: textOf(choice.message["content"]),
    finish: choice.finish_reason ?? "stop",
    message: choice.message,
    ...logprobsOf(choice),
    ...tokensOf(found.value.usage)
  } satisfies ChatAnswer
})

const partsOf = (event: unknown): ReadonlyArray<ChatPart> | undefined => {
  const found = decode(event)
  if (Option.isNone(found)) return undefined
  const choice = first(found.value)
  const words = choice?.delta ?? choice?.message
  const text = textOf(words?.["content"])
  const part: ChatPart = {
    ...(words === undefined || words === null ? {} : { delta: words }),
    ...(text === "" ? {} : { text }),
    ...(typeof choice?.finish_reason === "string" ? { finish: choice.finish_reason } : {}),
    ...logprobsOf(choice),
    ...tokensOf(found.value.usage)
  }
  return Object.keys(part).length === 0 ? [] : [part]
}

type Found = ChatPart | WorkerError | "done"

const read = (line: Line, data: string): ReadonlyArray<Found> => {
  if (data.trim() === "[DONE]") return ["done"]
  const event = parsed(data)
  if (typeof event === "object" && event !== null && "error" in event && event.error !== null) {
    return [failure("Transport", `the server broke off with an error: ${said(line, data)}`)]
  }
  if (nestsTooDeep(event)) return [tooDeep]
  return partsOf(event) ?? [failure("Transport", `the server sent what is no answer: ${quoted(line, data, 100)}`)]
}

const events = (line: Line, source: Stream.Stream<Uint8Array, WorkerError>): Stream.Stream<Found, WorkerError> =>
  Stream.suspend(() => {
    let found: Array<Found> = []
    const parser = Sse.makeParser((event) => {
      if (event._tag === "Event") found.push(...read(line, event.data))
    })
    const feed = (text: string): ReadonlyArray<Found> => {
      const error = parser.feed(text)
      if (error !== undefined) found.push(failure("Transport", error.message))
      const taken = found
      found = []
      return taken
    }
    return Stream.decodeText(source).pipe(
      Stream.mapAccumArray(
        () => undefined,
        (state, texts) => [state, feed(texts.join(""))],
        { onHalt: () => feed("\n\n") }
      )
    )
  })

/** How long the end of the connection is waited for behind the end of the answer, so that the next call can use it again. */
const afterDone = "200 millis"

/** Passes parts on until the end, and fails when there was none. What comes behind the end is nobody's. */
const untilDone = (source: Stream.Stream<Found, WorkerError>): Stream.Stream<ChatPart, WorkerError> =>
  Stream.suspend(() => {
    let ended = false
    let done = false
    const behind = (pull: Pull.Pull<unknown, WorkerError>) =>
      Effect.timeoutOrElse(Effect.forever(pull), { duration: afterDone, orElse: () => Cause.done() })
    const parts = Stream.transformPull(source, (pull) =>
      Effect.succeed(Effect.suspend(() => (done ? behind(pull) : pull)))
    )
    return parts.pipe(
      Stream.catch((error) => (done ? Stream.empty : Stream.fail(error))),
      Stream.mapEffect((found): Effect.Effect<ReadonlyArray<ChatPart>, WorkerError> => {
        if (done) return Effect.succeed([])
        if (found === "done") done = ended = true
        else if ("_tag" in found) return Effect.fail(found)
        else ended ||= found.finish !== undefined
        return Effect.succeed(found === "done" ? [] : [found])
      }),
      Stream.flattenIterable,
      Stream.concat(
        Stream.suspend(() =>
          ended
            ? Stream.empty
            : Stream.fail(failure("Transport", "the server ended the connection before the answer was whole"))
        )
      )
    )
  })

/** An answer as it is written. A server that does not stream and answers whole is passed on as one part. */
export const stream = (line: Line, model: string, request: TextRequest): Stream.Stream<ChatPart, WorkerError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const body = bodyOf(model, request, true)
      const response = yield* post(line, "/chat/completions", body, "text/event-stream, application/json")
      const type = response.headers["content-type"] ?? ""
      if (!type.includes("json")) return untilDone(events(line, bytes(line, response)))
      const sent = yield* json(line, response)
      if (nestsTooDeep(sent)) return Stream.fail(tooDeep)
      const whole = partsOf(sent)
      return Stream.fromIterable(whole ?? []).pipe(untilDone)
    })
  )
