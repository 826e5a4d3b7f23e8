/**
 * What every agent must do, as a list of named cases: stream and end, fail typed,
 * let go when interrupted and leave no process behind, answer the next turn after
 * either, keep sessions apart. A test file registers each case with its runner;
 * agents with real processes run on the live clock.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type Agent,
  AgentError,
  type AgentEvent,
  type AgentSession,
  maxKept,
  type OpenAgent,
  type PastTurn,
  StopBudget
} from "../Agent.ts"
import { sessionValues } from "../internal/session/values.ts"
import { type Interrupted, maxTextLength, type Turn } from "../Message.ts"

/** The agent did something else than a case asks for. */
export class NotConforming extends Schema.TaggedError<NotConforming>()("NotConforming", {
  message: Schema.String
}) {}

/** An agent under test and what is known of its answers. */
export interface AgentSubject<R> {
  readonly agent: Agent<R>
  /** The answer to a turn of plain messages, also when it was interrupted before. */
  readonly expected: (turn: Turn) => string
  /** A message whose turn fails. */
  readonly fails: string
  /** A message whose turn goes on until it is interrupted. */
  readonly hangs: string
  /** Whether the hanging turn says something first, as the receipt that it is at work. */
  readonly hangsWith: "event" | "silence"
  /** How long letting go may take, in milliseconds; 3 s by default. */
  readonly letGo?: number
  /** The processes that still run for a store. */
  readonly running?: (instance: string) => Effect.Effect<ReadonlyArray<unknown>, never, R>
  /** The most processes that it keeps warm for an open session between turns; 0 by default. */
  readonly keeps?: number
}

/** One promise and its proof. */
export interface AgentCase<R> {
  readonly name: string
  readonly run: Effect.Effect<void, NotConforming | AgentError, R>
}

/** A turn with these texts, for tests. */
export const turnOf = (
  texts: ReadonlyArray<string>,
  more: { readonly id?: string; readonly attempt?: number; readonly interrupted?: Interrupted } = {}
): Turn => ({
  id: more.id ?? "turn-1",
  session: "test/kim",
  conversation: "test/kim",
  attempt: more.attempt ?? 1,
  messages: texts.map((text, index) => ({
    seq: index + 1,
    id: `message-${index + 1}`,
    sender: "kim",
    text,
    attachments: [],
    acceptedAt: 1_700_000_000_000 + index
  })),
  text: texts.join("\n"),
  ...(more.interrupted === undefined ? {} : { interrupted: more.interrupted })
})

/** What an agent keeps with a session: sessions for tests that share one are the same session, opened again. */
export interface Keeping {
  value?: string
}

const utf8 = new TextEncoder()

/** As the journal does it. */
const keepIn = (keeping: Keeping): Pick<AgentSession, "kept" | "keep"> => ({
  kept: Effect.sync(() => keeping.value),
  keep: (value) =>
    Effect.suspend(() => {
      if (value !== undefined && utf8.encode(value).length > maxKept) {
        return Effect.fail(new AgentError({ reason: "Failed", cause: new Error(`more than ${maxKept} bytes`) }))
      }
      if (value === undefined) delete keeping.value
      else keeping.value = value
      return Effect.void
    })
})

/** Typed values in memory. */
const valuesIn = (values: Map<string, string>, name: string) =>
  sessionValues(
    {
      value: (_, key) => Effect.sync(() => values.get(key)),
      keep: (_, key, change) =>
        Effect.sync(() => {
          const next = change(values.get(key))
          if (next === undefined) values.delete(key)
          else values.set(key, next)
          return true
        })
    },
    1,
    name
  )

/** Past turns given oldest first, paged as the journal pages them. */
const historyOf =
  (past: ReadonlyArray<PastTurn>): AgentSession["history"] =>
  ({ before, limit }) =>
    Effect.sync(() => {
      const older = past.slice(0, before === undefined ? undefined : past.findIndex(({ id }) => id === before))
      return older.toReversed().slice(0, limit)
    })

/** A session for tests; `killed` collects what had to be killed, `past` has its earlier turns, oldest first. */
export const sessionOf = (options: {
  readonly instance: string
  readonly epoch?: number
  readonly id?: number
  readonly idleFor?: number
  readonly systemPrompt?: string
  readonly model?: string
  readonly keeping?: Keeping
  readonly past?: ReadonlyArray<PastTurn>
  readonly killed?: Array<{ readonly pid: number; readonly signal: string }>
}): AgentSession => ({
  id: options.id ?? 1,
  key: `test/kim${options.id ?? 1}`,
  name: "main",
  conversation: `test/kim${options.id ?? 1}`,
  instance: options.instance,
  epoch: options.epoch ?? 1,
  ...(options.idleFor === undefined ? {} : { idleFor: options.idleFor }),
  ...(options.systemPrompt === undefined ? {} : { systemPrompt: options.systemPrompt }),
  ...(options.model === undefined ? {} : { model: options.model }),
  ...keepIn(options.keeping ?? {}),
  ...valuesIn(new Map(), `test/kim${options.id ?? 1}`),
  history: historyOf(options.past ?? []),
  killed: (child) => Effect.sync(() => void options.killed?.push(child))
})

/** The text that an agent's events make. */
export const answerText = (events: ReadonlyArray<AgentEvent>): string =>
  events.map((event) => (event._tag === "Text" ? event.delta : "")).join("")

const equal = (what: string, actual: unknown, expected: unknown): Effect.Effect<void, NotConforming> =>
  Object.is(actual, expected)
    ? Effect.void
    : Effect.fail(
        new NotConforming({ message: `${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}` })
      )

const holds = (what: string, condition: boolean): Effect.Effect<void, NotConforming> => equal(what, condition, true)

/** Every tool that finishes was started, once, and is finished once. */
const wellFormed = (events: ReadonlyArray<AgentEvent>) => {
  const open = new Set<string>()
  for (const event of events) {
    if (event._tag === "ToolStarted") {
      if (open.has(event.id)) return false
      open.add(event.id)
    } else if (event._tag === "ToolFinished" && !open.delete(event.id)) {
      return false
    }
  }
  return open.size === 0
}

/** What the cases share: a store of their own each, and the ways to run a turn in it. */
const benchFor = <R>(subject: AgentSubject<R>, name: string) => {
  // Of its own in each run: what a failed run left behind is not this one's fault.
  const instance = `${name} ${crypto.randomUUID()}`
  const letGo = subject.letGo ?? 3000
  /** Nothing runs beyond what the agent keeps for so many open sessions. */
  const rests = Effect.fnUntraced(function* (sessions: number) {
    const left = subject.running === undefined ? [] : yield* subject.running(instance)
    const most = sessions * (subject.keeps ?? 0)
    yield* holds(
      `processes left: at most ${most} for ${sessions} open session(s), got ${left.length}`,
      left.length <= most
    )
  })
  const open = (id = 1) => subject.agent.open(sessionOf({ instance, id }))
  const answers = Effect.fnUntraced(function* (agent: OpenAgent<R>, turn: Turn) {
    const events = yield* Stream.runCollect(agent.answer(turn))
    yield* holds("tools are started and finished in pairs", wellFormed(events))
    yield* equal("the answer", answerText(events), subject.expected(turn))
    return events
  })
  /** Starts the turn that hangs and returns when it is at work. */
  const hanging = Effect.fnUntraced(function* (agent: OpenAgent<R>) {
    const atWork = yield* Deferred.make<void>()
    const fiber = yield* agent.answer(turnOf([subject.hangs], { id: "hanging" })).pipe(
      Stream.runForEach(() => Deferred.succeed(atWork, undefined)),
      Effect.forkChild({ startImmediately: true })
    )
    if (subject.hangsWith === "event") yield* Effect.raceFirst(Deferred.await(atWork), Effect.asVoid(Fiber.join(fiber)))
    return fiber
  })
  const lettingGo = Effect.fnUntraced(function* (within: number, effect: Effect.Effect<unknown>) {
    const clock = yield* Clock.Clock
    const began = clock.monotonicTimeNanosUnsafe()
    const done = yield* Effect.timeoutOption(effect, within)
    yield* holds(`lets go within ${within} ms`, Option.isSome(done))
    return Number(clock.monotonicTimeNanosUnsafe() - began) / 1e6
  })
  return { instance, letGo, rests, open, answers, hanging, lettingGo }
}

type Bench<R> = ReturnType<typeof benchFor<R>>
type Proof<R> = (
  bench: Bench<R>,
  subject: AgentSubject<R>
) => Effect.Effect<void, NotConforming | AgentError, R | Scope.Scope>

const answering = <R>(): ReadonlyArray<readonly [name: string, proof: Proof<R>]> => [
  [
    "streams the answer and ends",
    Effect.fnUntraced(function* ({ open, answers }: Bench<R>) {
      const events = yield* answers(yield* open(), turnOf(["hello there, how are you today?"]))
      yield* holds(
        "the answer came as text events",
        events.some((event) => event._tag === "Text")
      )
    })
  ],
  [
    "answers every message of a batch, in order",
    Effect.fnUntraced(function* ({ open, answers }: Bench<R>) {
      yield* answers(yield* open(), turnOf(["first", "second", "third"]))
    })
  ],
  [
    "passes any text through unharmed",
    Effect.fnUntraced(function* ({ open, answers }: Bench<R>) {
      const agent = yield* open()
      const texts = [
        "--help",
        "'; rm -rf / #",
        "$(date) `id` %s \\n",
        'a\ttab, a "quote"',
        "\u00fc\u4e2d\u{1f980}\u{1f469}\u200d\u{1f680}\u202e\u0301"
      ]
      for (const text of texts) yield* answers(agent, turnOf([text]))
    })
  ],
  [
    "takes a message of the greatest length",
    Effect.fnUntraced(function* ({ open, answers }: Bench<R>) {
      yield* answers(yield* open(), turnOf(["\u00e9".repeat(maxTextLength)]))
    })
  ],
  [
    "is told of attempts and of what was cut off",
    Effect.fnUntraced(function* ({ open, answers }: Bench<R>) {
      const agent = yield* open()
      yield* answers(agent, turnOf(["go on"], { attempt: 2, interrupted: { by: "crash" } }))
      yield* answers(agent, turnOf(["go on"], { attempt: 3, interrupted: { by: "restart", tool: "deploy" } }))
    })
  ],
  [
    "fails with an AgentError and answers the next turn all the same",
    Effect.fnUntraced(function* ({ open, answers }: Bench<R>, subject: AgentSubject<R>) {
      const agent = yield* open()
      const error = yield* Effect.flip(Stream.runDrain(agent.answer(turnOf([subject.fails])))).pipe(
        Effect.mapError(() => new NotConforming({ message: "the turn did not fail" }))
      )
      yield* equal("the error", error._tag, "AgentError")
      yield* answers(agent, turnOf(["and now?"], { id: "turn-2" }))
    })
  ]
]

const lettingGoCases = <R>(): ReadonlyArray<readonly [name: string, proof: Proof<R>]> => [
  [
    "lets go when interrupted, leaves no process, and answers the next turn",
    Effect.fnUntraced(function* ({ open, hanging, lettingGo, letGo, rests, answers }: Bench<R>) {
      const agent = yield* open()
      yield* lettingGo(letGo, Fiber.interrupt(yield* hanging(agent)))
      yield* rests(1)
      yield* answers(agent, turnOf(["and now?"], { id: "turn-2" }))
    })
  ],
  [
    "lets go when interrupted before its first event",
    Effect.fnUntraced(function* ({ open, lettingGo, letGo, rests }: Bench<R>, subject: AgentSubject<R>) {
      const agent = yield* open()
      for (let yields = 0; yields < 8; yields++) {
        const fiber = yield* Effect.forkChild(Stream.runDrain(agent.answer(turnOf([subject.hangs]))))
        for (let n = 0; n < yields; n++) yield* Effect.yieldNow
        yield* lettingGo(letGo, Fiber.interrupt(fiber))
        yield* rests(1)
      }
    })
  ],
  [
    "lets go when nobody reads its answer to the end",
    Effect.fnUntraced(function* ({ open, lettingGo, letGo, rests }: Bench<R>) {
      const agent = yield* open()
      const answer = agent.answer(turnOf(["a few words ".repeat(1000)]))
      const first = yield* Effect.forkChild(Stream.runDrain(Stream.take(answer, 1)), { startImmediately: true })
      yield* lettingGo(letGo, Fiber.await(first))
      yield* rests(1)
    })
  ],
  [
    "lets go in half a second when that is all the time there is",
    Effect.fnUntraced(
      function* ({ open, hanging, lettingGo, letGo, rests }: Bench<R>) {
        const agent = yield* open()
        const fiber = yield* hanging(agent)
        const took = yield* lettingGo(letGo, Fiber.interrupt(fiber))
        yield* holds(`took ${Math.round(took)} ms of a budget of 500`, took < 1000)
        yield* rests(1)
      },
      Effect.provideService(StopBudget, Effect.succeed(500))
    )
  ],
  [
    "leaves nothing when its session closes, with a turn or without",
    Effect.fnUntraced(function* ({ open, hanging, lettingGo, letGo, rests }: Bench<R>) {
      yield* Effect.scoped(open())
      yield* rests(0)
      const scope = yield* Scope.make()
      const agent = yield* Effect.provideService(open(), Scope.Scope, scope)
      const fiber = yield* hanging(agent)
      yield* lettingGo(letGo, Effect.andThen(Fiber.interrupt(fiber), Scope.close(scope, Exit.void)))
      yield* rests(0)
    })
  ],
  [
    "keeps sessions apart: one hangs and is interrupted, the other answers",
    Effect.fnUntraced(function* ({ open, hanging, lettingGo, letGo, answers, rests }: Bench<R>) {
      const stuck = yield* open(1)
      const other = yield* open(2)
      const fiber = yield* hanging(stuck)
      yield* answers(other, turnOf(["meanwhile"], { id: "turn-2" }))
      yield* holds("the hanging turn goes on", fiber.pollUnsafe() === undefined)
      yield* lettingGo(letGo, Fiber.interrupt(fiber))
      yield* answers(other, turnOf(["still there?"], { id: "turn-3" }))
      yield* rests(2)
    })
  ],
  [
    "does not take its own processes for orphans",
    Effect.fnUntraced(function* ({ open, instance, hanging, lettingGo, letGo }: Bench<R>, subject: AgentSubject<R>) {
      const fiber = yield* hanging(yield* open())
      const orphans = subject.agent.orphans === undefined ? [] : yield* subject.agent.orphans({ instance, epoch: 1 })
      yield* equal("orphans of this boot", orphans.length, 0)
      yield* lettingGo(letGo, Fiber.interrupt(fiber))
    })
  ]
]

/** The cases for one agent. */
export const agentConformance = <R>(subject: AgentSubject<R>): ReadonlyArray<AgentCase<R>> =>
  [...answering<R>(), ...lettingGoCases<R>()].map(([name, proof]) => ({
    name,
    run: Effect.scoped(proof(benchFor(subject, name), subject))
  }))
