/**
 * The agent that is built in and needs nothing. It answers any text with the
 * texts it got, joined by line feeds, and does a few things on request that real
 * agents do by themselves: take time, use a tool, ask, fail, hang, crash, ignore
 * signals. The tour shows the gateway with it, and tests rely on its exact words.
 */
import * as Agent from "@sluice/runtime/Agent"
import type { Turn } from "@sluice/runtime/Message"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Children from "./Children.ts"
import { crash } from "./internal/node/host.ts"

/**
 * What a message asks for. `work`, `tool` and `ask` may be followed by any text;
 * the others are a whole message. A number after `fail` or `crash` says in how
 * many attempts: `crash 1` is answered at the second.
 */
export type Directive =
  | { readonly _tag: "Say" }
  | { readonly _tag: "Work"; readonly millis: number; readonly duration: string }
  | { readonly _tag: "Tool"; readonly millis: number; readonly name: string }
  | { readonly _tag: "Ask"; readonly question: string }
  | { readonly _tag: "Fail" | "Crash"; readonly attempts: number }
  | { readonly _tag: "Hang" | "Stubborn" }

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }
const longest = 86_400_000

const patterns: ReadonlyArray<readonly [RegExp, (groups: ReadonlyArray<string>) => Directive]> = [
  [
    /^work (\d{1,9})(ms|s|m)(?:\s|$)/,
    ([count = "", unit = ""]) => ({ _tag: "Work", millis: millisOf(count, unit), duration: `${count}${unit}` })
  ],
  [
    /^tool (\d{1,9})(ms|s|m)(?:\s+(\S[^]*))?$/,
    ([count = "", unit = "", name]) => ({
      _tag: "Tool",
      millis: millisOf(count, unit),
      name: name === undefined ? "tool" : name.trim().slice(0, 80)
    })
  ],
  [/^ask\s+(\S[^]*)$/, ([question = ""]) => ({ _tag: "Ask", question: question.trim() })],
  [/^fail(?: (\d{1,3}))?$/, ([attempts]) => ({ _tag: "Fail", attempts: Number(attempts ?? Infinity) })],
  [/^crash(?: (\d{1,3}))?$/, ([attempts]) => ({ _tag: "Crash", attempts: Number(attempts ?? Infinity) })],
  [/^hang$/, () => ({ _tag: "Hang" })],
  [/^stubborn$/, () => ({ _tag: "Stubborn" })]
]

const millisOf = (count: string, unit: string): number => Math.min(longest, Number(count) * (units[unit] ?? 1))

/** Reads the directive of one message; a text that has none is said back. Durations are `300ms`, `2s` or `5m`, at most 24 h. */
export const directive = (text: string): Directive => {
  const trimmed = text.trim()
  for (const [pattern, make] of patterns) {
    const match = pattern.exec(trimmed)
    if (match !== null) return make(match.slice(1))
  }
  return { _tag: "Say" }
}

/** The sentence that opens the answer when a tool's outcome is unknown: none is run again. */
export const unknownOutcome = (tool: string): string =>
  `I was cut off while running ${tool} and can't tell whether it went through, so I did not run it again.`

/** The line of an `ask` in the answer. */
export const decision = (question: string, option: string | undefined): string =>
  `${question} ${option ?? "(nobody answered)"}`

/** What the whole answer of a turn is, when it has one and nobody decides otherwise. */
export const answerOf = (turn: Turn, decide: (question: string) => string | undefined = () => undefined): string => {
  const lines = turn.messages.map(({ text }) => {
    const wish = directive(text)
    return wish._tag === "Ask" ? decision(wish.question, decide(wish.question)) : text
  })
  const { tool } = turn.interrupted ?? {}
  return [...(tool === undefined ? [] : [unknownOutcome(tool)]), ...lines].join("\n")
}

type Events = Stream.Stream<Agent.AgentEvent, Agent.AgentError>

/** A text in at most 16 pieces, none of which splits a character. */
const pieces = (text: string): Events => {
  const size = Math.max(16, Math.ceil(text.length / 16))
  const cut: Array<Agent.AgentEvent> = []
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + size)
    const last = text.charCodeAt(end - 1)
    if (end < text.length && last >= 0xd800 && last <= 0xdbff) end++
    cut.push(Agent.text(text.slice(at, end)))
    at = end
  }
  return Stream.fromIterable(cut)
}

const alive: Agent.AgentEvent = { _tag: "Alive" }

/** Takes its time in steps of a second, with a sign of life at each: work that goes on has not stalled. */
const working = (millis: number, first: Agent.AgentEvent): Events =>
  Stream.concat(
    Stream.succeed(first),
    Stream.unfold(millis, (left) =>
      left <= 0 ? Effect.undefined : Effect.as(Effect.sleep(Math.min(left, 1000)), [alive, left - 1000] as const)
    )
  )

const asking = (question: string): Events =>
  Stream.unwrap(
    Effect.map(Deferred.make<string | undefined>(), (decided) =>
      Stream.concat(
        Stream.succeed<Agent.AgentEvent>({
          _tag: "Permission",
          question,
          options: ["yes", "no"],
          respond: (option) => Effect.asVoid(Deferred.succeed(decided, option))
        }),
        Stream.unwrap(Effect.map(Deferred.await(decided), (option) => pieces(decision(question, option))))
      )
    )
  )

/** Ignores what a polite stop sends, so that the ladder's last step is seen. Ends by itself after an hour. */
const stubbornArgv = ["/bin/sh", "-c", 'trap "" TERM INT HUP; echo ready; exec sleep 3600'] as const

const stubborn = (room: Children.Room, turn: Turn): Events =>
  Stream.unwrap(
    Effect.gen(function* () {
      const child = yield* room.start({ argv: stubbornArgv, turn: turn.id })
      const ready = child.read.pipe(
        Effect.repeat({ until: (piece) => piece._tag === "Bytes" || piece._tag === "End" }),
        Effect.as<Agent.AgentEvent>({ _tag: "Line", text: `process ${child.pid} ignores signals` })
      )
      return Stream.concat(Stream.fromEffect(ready), Stream.fromEffectDrain(child.exited))
    }).pipe(Effect.mapError((cause) => new Agent.AgentError({ reason: "Failed", cause })))
  )

/** How the demo agent is made. */
export interface Options {
  /** What `crash` does: ends the gateway's own process as kill -9 would. Tests replace it. */
  readonly crash?: Effect.Effect<void>
  /** The waits of the stop ladder for `stubborn`. */
  readonly grace?: Partial<Children.Grace>
}

interface Setting {
  readonly room: Children.Room
  readonly crash: Effect.Effect<void>
}

const askedToFail = new Agent.AgentError({ reason: "Failed", cause: new Error("the demo agent was asked to fail") })

/** What one message gets: its directive's effect, then its line of the answer. */
const act = ({ room, crash }: Setting, turn: Turn, text: string, index: number): Events => {
  const wish = directive(text)
  const say = pieces(text)
  switch (wish._tag) {
    case "Work":
      return Stream.concat(working(wish.millis, { _tag: "Line", text: `working for ${wish.duration}` }), say)
    case "Tool": {
      // Whether it went through is not known: once more could be once too often.
      if (turn.interrupted?.tool !== undefined) return say
      const id = `${turn.id}/${turn.attempt}/${index}`
      return working(wish.millis, { _tag: "ToolStarted", id, name: wish.name, sideEffects: true }).pipe(
        Stream.concat(Stream.succeed<Agent.AgentEvent>({ _tag: "ToolFinished", id })),
        Stream.concat(say)
      )
    }
    case "Ask":
      return asking(wish.question)
    case "Fail":
      return turn.attempt > wish.attempts ? say : Stream.fail(askedToFail)
    case "Crash":
      return turn.attempt > wish.attempts ? say : Stream.concat(Stream.fromEffectDrain(crash), Stream.never)
    case "Hang":
      return Stream.never
    case "Stubborn":
      return Stream.concat(stubborn(room, turn), say)
    default:
      return say
  }
}

/** Makes the demo agent. */
export const make = (options: Options = {}): Agent.Agent =>
  Agent.make({
    orphans: Children.orphans,
    open: Effect.fnUntraced(function* (session) {
      const room = yield* Children.room(session, options.grace === undefined ? {} : { grace: options.grace })
      const setting: Setting = { room, crash: options.crash ?? Effect.sync(crash) }
      const answer = (turn: Turn): Events => {
        const { tool } = turn.interrupted ?? {}
        const lines = turn.messages.map(({ text }, index) => {
          const line = act(setting, turn, text, index)
          return index === 0 ? line : Stream.concat(pieces("\n"), line)
        })
        const opening = tool === undefined ? [] : [pieces(`${unknownOutcome(tool)}\n`)]
        return Stream.flatMap(Stream.fromIterable([...opening, ...lines]), (part) => part)
      }
      return { answer }
    })
  })
