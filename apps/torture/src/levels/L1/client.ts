/**
 * One person over HTTP with a script of their own. Each message is sent with its id
 * until it is acknowledged, by whatever gateway is there, and replies are pulled from
 * one cursor on; both are written down. What a person waits for is what they see.
 */
import * as Effect from "effect/Effect"
import type { World } from "../../world/World.ts"
import { ask, nap, noted, pathOf, type Reply } from "../../world/place.ts"
import type { Answer, Asking } from "../../world/wire.ts"

/** A person in one conversation. */
export interface Person {
  readonly conversation: string
  /** Sends a message until it is acknowledged. `command`: only its end counts, the agent need not answer it. */
  readonly say: (id: string, text: string, command?: boolean) => Effect.Effect<void>
  /** Sends a message and hangs up before the answer can be there. */
  readonly leave: (id: string, text: string, after: number) => Effect.Effect<void>
  /** Pulls until the replies so far are as wanted. */
  readonly sees: (wanted: (replies: ReadonlyArray<Reply>) => boolean) => Effect.Effect<void>
  /** Pulls what is new; all replies so far. */
  readonly pull: Effect.Effect<ReadonlyArray<Reply>>
  /** What was pulled so far. */
  readonly seen: () => ReadonlyArray<Reply>
  /** Asks until there is an answer as wanted. */
  readonly insist: (path: string, asking: Asking, wanted: (answer: Answer) => boolean) => Effect.Effect<Answer>
  /** How a message has ended, as the gateway tells who asks once more; `undefined` when it has not. */
  readonly ended: (id: string) => Effect.Effect<string | undefined>
  /** What was acknowledged, in order, with its text. */
  readonly told: ReadonlyMap<string, { readonly text: string; readonly command: boolean }>
}

/** Asks whoever is there until the answer is as wanted; `lost` hears of each try that may have arrived. */
export const insist = (
  world: World,
  path: string,
  asking: Asking,
  wanted: (answer: Answer) => boolean,
  lost: (why: string) => void = () => undefined
): Effect.Effect<Answer> =>
  ask(world.place, path, asking).pipe(
    Effect.tapError(({ code, reached }) => Effect.sync(() => (reached ? lost(code) : undefined))),
    Effect.filterOrFail(wanted),
    Effect.catch(() =>
      Effect.andThen(
        nap,
        Effect.suspend(() => insist(world, path, asking, wanted, lost))
      )
    )
  )

const accepted = ({ status }: Answer) => status === 202 || status === 200
const isOk = ({ status }: Answer) => status === 200

/** Somebody in a conversation of their own. */
export const person = (world: World, conversation: string): Person => {
  const path = (rest: string) => pathOf(conversation, rest)
  const told = new Map<string, { readonly text: string; readonly command: boolean }>()
  const replies: Array<Reply> = []
  let sent = 0

  const lineOf = (id: string, n: number, command: boolean) =>
    ({
      op: "send",
      by: `client ${conversation}`,
      channel: "http",
      conversation: `http/${conversation}`,
      id,
      n,
      ...(command ? { command } : {})
    }) as const

  const say: Person["say"] = (id, text, command = text.startsWith("/")) =>
    Effect.gen(function* () {
      const line = lineOf(id, ++sent, command)
      world.history.append({ ...line, phase: "invoke" })
      const asking = { body: { text }, key: id }
      const { body } = yield* insist(world, path("messages"), asking, accepted, (why) => {
        world.history.append({ ...line, phase: "info", why })
      })
      world.history.append({ ...line, phase: "ok", seq: Number(body["seq"]), duplicate: body["duplicate"] === true })
      told.set(id, { text, command })
    })

  const leave: Person["leave"] = (id, text, after) =>
    Effect.gen(function* () {
      const line = lineOf(id, ++sent, false)
      world.history.append({ ...line, phase: "invoke" })
      yield* Effect.ignore(ask(world.place, path("messages"), { body: { text }, key: id })).pipe(
        Effect.timeoutOption(after)
      )
      world.history.append({ ...line, phase: "info", why: "hung up" })
    })

  const pull = Effect.gen(function* () {
    const after = replies.at(-1)?.number ?? 0
    const { body } = yield* insist(world, path(`replies?after=${after}&limit=1000`), {}, isOk)
    for (const reply of (body["replies"] ?? []) as ReadonlyArray<Reply>) {
      // Two pulls of one person may have asked at the same time.
      if (reply.number <= (replies.at(-1)?.number ?? 0)) continue
      replies.push(reply)
      noted(world.history, conversation, reply)
    }
    return replies
  })

  const sees: Person["sees"] = (wanted) =>
    Effect.flatMap(pull, (found) =>
      wanted(found)
        ? Effect.void
        : Effect.andThen(
            nap,
            Effect.suspend(() => sees(wanted))
          )
    )

  return {
    conversation,
    say,
    leave,
    sees,
    pull,
    seen: () => replies,
    insist: (path, asking, wanted) => insist(world, path, asking, wanted),
    ended: (id) =>
      Effect.map(
        insist(world, path("messages?wait=2s"), { body: { text: told.get(id)?.text ?? "" }, key: id }, accepted),
        ({ body }) => (typeof body["ended"] === "string" ? body["ended"] : undefined)
      ),
    told
  }
}
