/**
 * An agent whose turns a test ends by hand, and that notices what must never
 * happen: two runs of one session at a time. It outlives the gateway, so that a
 * test can end one boot in the middle of a turn and see the next boot's run.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Agent from "../Agent.ts"
import type { Turn, TurnMessage } from "../Message.ts"

/** One run of a turn. */
export interface Run {
  readonly turn: Turn
  /** Shows an event. */
  readonly emit: (event: Agent.AgentEvent) => Effect.Effect<void>
  /** Ends the run with a last piece of text; none when it is empty. */
  readonly finish: (text?: string) => Effect.Effect<void>
  /** Ends the run with an error; `models` are those that it says there are. */
  readonly fail: (reason?: Agent.AgentError["reason"], models?: ReadonlyArray<string>) => Effect.Effect<void>
  /** Messages that were handed over meanwhile; completes when there are at least so many. */
  readonly handed: (count: number) => Effect.Effect<ReadonlyArray<TurnMessage>>
  /** Completes when the run is over: it ended by itself, or was let go of. */
  readonly over: Effect.Effect<"ended" | "interrupted">
}

/** An agent and what a test sees of it. */
export interface TestAgent {
  readonly agent: Agent.Agent
  /** Every run so far, as it was begun. */
  readonly runs: ReadonlyArray<Run>
  /** Completes with the n-th run (from 1) once it has begun. */
  readonly run: (n: number) => Effect.Effect<Run>
  /** Sessions that had two runs at a time. Has to be empty. */
  readonly overlaps: ReadonlyArray<string>
  /** Sessions that the agent is open for now. */
  readonly open: ReadonlySet<string>
  /** How often it was opened. */
  readonly opened: () => number
}

/** What was handed to a run, and who waits for it. */
class Steered {
  readonly messages: Array<TurnMessage> = []
  readonly #waiting = new Set<{ readonly count: number; readonly done: Deferred.Deferred<void> }>()

  take(messages: ReadonlyArray<TurnMessage>) {
    this.messages.push(...messages)
    for (const waiting of this.#waiting) {
      if (this.messages.length < waiting.count) continue
      this.#waiting.delete(waiting)
      Deferred.doneUnsafe(waiting.done, Effect.void)
    }
  }

  wait(count: number) {
    return Effect.suspend(() => {
      if (this.messages.length >= count) return Effect.succeed(this.messages)
      const waiting = { count, done: Deferred.makeUnsafe<void>() }
      this.#waiting.add(waiting)
      return Effect.as(Deferred.await(waiting.done), this.messages)
    })
  }
}

class Book {
  readonly steered = new Map<string, Steered>()
  readonly runs: Array<Run> = []
  readonly overlaps: Array<string> = []
  readonly open = new Set<string>()
  readonly running = new Set<string>()
  opened = 0
  waiting: Array<{ readonly n: number; readonly done: Deferred.Deferred<Run> }> = []

  enter(run: Run) {
    const n = this.runs.push(run)
    const told = this.waiting.filter((waiting) => waiting.n === n)
    this.waiting = this.waiting.filter((waiting) => waiting.n !== n)
    // Whoever is told may wait for the next one before this returns.
    for (const { done } of told) Deferred.doneUnsafe(done, Effect.succeed(run))
  }
}

type Step = Agent.AgentEvent | "end" | Agent.AgentError

const failure = (reason: Agent.AgentError["reason"], models: ReadonlyArray<string> | undefined) =>
  new Agent.AgentError({
    reason,
    cause: new Error("the test failed this run"),
    ...(models === undefined ? {} : { models })
  })

const begin = (book: Book, turn: Turn, answer: ((turn: Turn) => string) | undefined) =>
  Effect.gen(function* () {
    const steps = yield* Queue.unbounded<Step>()
    const over = yield* Deferred.make<"ended" | "interrupted">()
    if (book.running.has(turn.session)) book.overlaps.push(turn.session)
    book.running.add(turn.session)
    const steered = new Steered()
    book.steered.set(turn.session, steered)
    const finish = (text = "") =>
      Effect.andThen(text === "" ? Effect.void : Queue.offer(steps, Agent.text(text)), Queue.offer(steps, "end"))
    const run: Run = {
      turn,
      emit: (event) => Effect.asVoid(Queue.offer(steps, event)),
      finish: (text) => Effect.asVoid(finish(text)),
      fail: (reason = "Failed", models) => Effect.asVoid(Queue.offer(steps, failure(reason, models))),
      handed: (count) => steered.wait(count),
      over: Deferred.await(over)
    }
    if (answer !== undefined) yield* finish(answer(turn))
    book.enter(run)
    return Stream.fromEffectRepeat(Queue.take(steps)).pipe(
      Stream.takeWhile((step) => step !== "end"),
      Stream.mapEffect((step) =>
        "_tag" in step && step._tag === "AgentError" ? Effect.fail(step) : Effect.succeed(step)
      ),
      Stream.onExit((exit) =>
        Effect.suspend(() => {
          book.running.delete(turn.session)
          return Deferred.succeed(over, exit._tag === "Success" ? "ended" : "interrupted")
        })
      )
    )
  })

/** Answers at once where `answer` says what; without it every run waits for the test. */
export const make = (
  options: {
    readonly answer?: (turn: Turn) => string
    readonly resume?: Agent.ResumePolicy
    readonly stallTimeout?: number
    readonly turnTimeout?: number
    /** Running turns take further messages (queue mode `steer`). */
    readonly steers?: boolean
    /** Has to succeed before the agent is open. */
    readonly onOpen?: (session: Agent.AgentSession) => Effect.Effect<void, Agent.AgentError>
    /** Has to end before the agent is closed. */
    readonly onClose?: Effect.Effect<void>
  } = {}
): TestAgent => {
  const book = new Book()
  const { stallTimeout, turnTimeout } = options
  const agent = Agent.make({
    resume: options.resume ?? "restart",
    ...(stallTimeout === undefined ? {} : { stallTimeout }),
    ...(turnTimeout === undefined ? {} : { turnTimeout }),
    open: Effect.fnUntraced(function* (session) {
      if (options.onOpen !== undefined) yield* options.onOpen(session)
      if (book.open.has(session.key)) book.overlaps.push(session.key)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          book.opened++
          book.open.add(session.key)
        }),
        () =>
          Effect.andThen(
            options.onClose ?? Effect.void,
            Effect.sync(() => book.open.delete(session.key))
          )
      )
      return {
        answer: (turn: Turn) => Stream.unwrap(begin(book, turn, options.answer)),
        ...(options.steers === true
          ? {
              steer: (messages: ReadonlyArray<TurnMessage>) =>
                Effect.sync(() => book.steered.get(session.key)?.take(messages))
            }
          : {})
      }
    })
  })
  return {
    agent,
    runs: book.runs,
    overlaps: book.overlaps,
    open: book.open,
    opened: () => book.opened,
    run: (n) =>
      Effect.suspend(() => {
        const run = book.runs[n - 1]
        if (run !== undefined) return Effect.succeed(run)
        const done = Deferred.makeUnsafe<Run>()
        book.waiting.push({ n, done })
        return Deferred.await(done)
      })
  }
}

/** Answers each turn with its text. */
export const echo = (): TestAgent => make({ answer: (turn) => turn.text })
