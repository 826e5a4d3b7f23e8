/**
 * `sluice command <conversation> <command> ...`: what people write in a chat, from the command line. It is stored and run
 * by the running gateway like any command, and answers in that conversation too: there is no way around the session.
 */
import { type CommandInfo, commands } from "@sluice/runtime/Channel"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import type { Place } from "../configuration/Sources.ts"
import { type ConfigurationError, didYouMean } from "../configuration/Problem.ts"
import { escape } from "../LogEncoder.ts"
import { codes, Ending } from "../process/Exit.ts"
import { ask, type Refused, type Silent } from "./Ask.ts"
import { conversationOnHttp } from "./Status.ts"
import * as Words from "./Words.ts"

/** How long it may take with a store that is busy; the gateway answers before. */
const patience = 45_000

interface Answer {
  readonly ended?: string
  readonly replies?: ReadonlyArray<{
    readonly text: string
    readonly attachments?: ReadonlyArray<{ readonly hash: string; readonly name?: string }>
  }>
}

const list = (json: boolean) =>
  json
    ? Words.json({ commands })
    : Words.lines(
        commands.map(({ arguments: args, command, does }: CommandInfo) => `${`${command} ${args}`.padEnd(46)}${does}`)
      )

/** By its key: a name that was mistyped is told, and begins nothing. */
const pathOf = (conversation: string) => {
  const key = conversation.includes("/") ? conversation : conversationOnHttp(conversation)
  return `/v1/conversations/${encodeURIComponent(key)}/commands` as const
}

/** See the header. */
export const command = Effect.fnUntraced(function* (
  place: Place,
  given: {
    readonly conversation: string | undefined
    readonly words: ReadonlyArray<string>
    readonly sender: string
    readonly json: boolean
  }
): Effect.fn.Return<void, Silent | Refused | ConfigurationError | Ending> {
  const { conversation, json, sender } = given
  const [word, ...rest] = given.words
  if (conversation === undefined || word === undefined) return yield* list(json)
  const named = `/${word.replace(/^\//, "").toLowerCase()}`
  if (!commands.some((known) => known.command === named)) {
    return yield* new Ending({
      code: codes.failed,
      lines: [
        `command "${escape(named)}": there is none${didYouMean(
          named,
          commands.map((known) => known.command)
        )}; sluice command lists them`
      ]
    })
  }
  // The choice of an answer may have several words.
  const words = word.replace(/^\//, "") === "allow" ? [...rest.slice(0, 1), rest.slice(1).join(" ")] : rest
  const { body, status } = yield* ask(place, {
    method: "POST",
    path: pathOf(conversation),
    key: randomUUID(),
    body: { command: word, arguments: words.filter((text) => text !== ""), sender },
    patience
  })
  if (status === 503) {
    return yield* new Ending({
      code: codes.failed,
      lines: ["sluice: the gateway is starting or stopping; try again in a moment"]
    })
  }
  if (json) return yield* Words.json(body)
  const { ended, replies = [] } = body as Answer
  if (ended === undefined) return yield* Words.lines(["accepted; the answer comes in the conversation"])
  yield* Words.lines(
    replies.flatMap(({ attachments = [], text }) => [
      ...text.split("\n").map(escape),
      ...attachments.map(({ hash, name = "file" }) => `[file: ${escape(name)}, GET /v1/attachments/${escape(hash)}]`)
    ])
  )
})
