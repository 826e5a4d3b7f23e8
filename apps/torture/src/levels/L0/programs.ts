/**
 * The agent's programs. Each run of a turn is one, and says when it begins and
 * ends. Where they are processes of their own they outlive a gateway that is
 * killed, go on working, and are found by the next boot; otherwise they die with
 * it. They take longer than messages take to come, fail, die, hang, and take their
 * time to let go. What one took over stands in its conversation, whether it has said
 * so or not: a run that goes on with the turn answers it too.
 */
import * as Agent from "@sluice/runtime/Agent"
import type { Turn, TurnMessage } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { History } from "./history.ts"
import type { Life } from "./Life.ts"
import type { Act, Plan } from "./plan.ts"
import { plain, Run, worst } from "./run.ts"
import { answerText } from "./texts.ts"
import { outside, type Time } from "./time.ts"

export interface Surroundings {
  readonly plan: Plan
  readonly time: Time
  readonly history: History
  /** What was asked for with a message. */
  readonly acts: ReadonlyMap<string, Act>
  /** What the history calls a message of a conversation, by its id and text. */
  readonly named: (id: string, conversation: string, text: string) => string
}

type Segment = { readonly after: number; readonly event: Agent.AgentEvent }

/** What an agent hears nothing of for so long has failed. */
const stallTimeout = 90_000
/** A program that does not let go is killed after so long. */
const grace = 3000
/** How often it is looked whether there is less time left than there was, and what of it a kill needs. */
const piecesOf = 100
const killing = 20

export class Programs {
  readonly #around: Surroundings
  readonly #running = new Set<Run>()
  readonly #failed = new Map<string, number>()
  /** What programs took over, by their turns, as their conversations have it. */
  readonly #taken = new Map<string, Set<string>>()
  #count = 0

  constructor(around: Surroundings) {
    this.#around = around
  }

  get busy(): boolean {
    return this.#running.size > 0
  }

  /** Processes that began in this life and are alive. */
  children(life: Life): ReadonlyArray<number> {
    if (!this.#around.plan.child) return []
    return [...this.#running].filter((run) => run.life === life).map(({ pid }) => pid)
  }

  /** Programs without a process of their own end with the gateway's. */
  gone(life: Life): void {
    if (this.#around.plan.child) return
    for (const run of this.#running) if (run.life === life) this.#end(run)
  }

  #tell(run: Run, phase: "invoke" | "ok" | "fail" | "info"): void {
    this.#around.history.tell({
      op: "run",
      phase,
      by: "agent",
      conversation: run.turn.conversation,
      run: run.name,
      session: String(run.session),
      pid: run.pid,
      ids: [...run.ids]
    })
  }

  /** It is over; without a phase nobody heard how. */
  #end(run: Run, phase?: "ok" | "fail"): void {
    if (run.over) return
    run.over = true
    this.#running.delete(run)
    if (phase !== undefined) this.#tell(run, phase)
    for (const waiting of run.waiting.splice(0)) waiting()
    run.noticed?.()
  }

  #begin(life: Life, session: number, turn: Turn): Run {
    const { acts, named, plan, time } = this.#around
    const given = turn.messages.map(({ id, text }) => named(id, turn.conversation, text))
    const ids = [...new Set([...given, ...(this.#taken.get(turn.id) ?? [])])]
    const act = worst(ids.map((id) => acts.get(id) ?? plain))
    const failed = Math.max(0, ...ids.map((id) => this.#failed.get(id) ?? 0))
    const fails = failed < act.fails
    if (fails) for (const id of ids) this.#failed.set(id, failed + 1)
    const name = `r${++this.#count}`
    const run = new Run(name, plan.child ? 5000 + this.#count : life.pid, life, session, turn, ids, act, fails)
    this.#running.add(run)
    this.#tell(run, "invoke")
    // A person takes longer; and who waits for one can't be done.
    if (!act.hangs && !act.asks) this.#finishIn(run, fails && act.early ? 0 : act.work, time)
    return run
  }

  #finishIn(run: Run, millis: number, time: Time): void {
    const { child, vague = false } = this.#around.plan
    time.timer(child ? outside : run.life, millis, () => {
      run.goesOn = vague && !run.fails && !run.over && !run.life.dead && run.untaken.size > 0
      if (run.goesOn) return run.noticed?.()
      this.#end(run, run.fails ? "fail" : "ok")
    })
  }

  #segments(run: Run): ReadonlyArray<Segment> {
    const { act, turn } = run
    const segments: Array<Segment> = []
    const part = Math.floor(act.work / 4)
    if (act.tool) {
      segments.push({ after: part, event: { _tag: "ToolStarted", id: "t", name: "mail", sideEffects: true } })
      segments.push({ after: part, event: { _tag: "ToolFinished", id: "t" } })
    }
    if (act.talks) segments.push({ after: part, event: Agent.text("") })
    if (act.asks) {
      segments.push({
        after: part,
        event: {
          _tag: "Permission",
          question: `May I, ${turn.id}?`,
          options: ["yes", "no"],
          respond: () => Effect.sync(() => this.#finishIn(run, act.work, this.#around.time))
        }
      })
    }
    return segments
  }

  #wait(run: Run, millis: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (run.life.dead) return
      const cancel = this.#around.time.timer(run.life, millis, () => resume(Effect.void))
      return Effect.sync(cancel)
    })
  }

  /** Completes with its end. */
  #over(run: Run): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (run.life.dead) return
      const done = () => {
        if (!run.life.dead) resume(Effect.void)
      }
      if (run.over) done()
      else run.waiting.push(done)
    })
  }

  #answer(run: Run): Stream.Stream<Agent.AgentEvent, Agent.AgentError> {
    const failure = new Agent.AgentError({ reason: "Failed", cause: "as it was told to" })
    const end = Stream.fromEffect(
      Effect.flatMap(this.#over(run), () =>
        run.fails ? Effect.fail(failure) : Effect.succeed(Agent.text(answerText(run.name, run.ids, run.act.parts)))
      )
    )
    const last = this.#around.plan.takes === undefined ? end : Stream.concat(this.#taking(run), end)
    const segments = this.#segments(run)
    return segments.length === 0
      ? last
      : Stream.fromIterable(segments).pipe(
          Stream.mapEffect(({ after, event }) => Effect.as(this.#wait(run, after), event)),
          Stream.concat(last)
        )
  }

  /** Messages are handed to a program that runs: it takes them over after a while, if it still runs then. */
  #steer(life: Life, session: number, messages: ReadonlyArray<TurnMessage>): void {
    const { plan, time } = this.#around
    const run = [...this.#running].find((one) => one.life === life && one.session === session)
    const { takes = Infinity } = plan
    // One that has not begun yet takes nothing, and may well take what is handed to it later.
    if (run === undefined || life.dead) return
    for (const message of messages) run.untaken.add(message)
    if (takes === Infinity) return
    time.timer(life, takes, () => {
      if (run.over || run.goesOn) return
      for (const message of messages) run.untaken.delete(message)
      for (const message of messages) run.taken.add(message)
      this.#take(run, messages)
      const { says = 0 } = plan
      if (says === 0) this.#say(run)
      else if (says !== Infinity) time.timer(life, says, () => this.#say(run))
    })
  }

  /** Messages are in its conversation from now on, and in the answer. */
  #take(run: Run, messages: ReadonlyArray<TurnMessage>): void {
    const names = messages.map(({ id, text }) => this.#around.named(id, run.turn.conversation, text))
    run.ids.push(...names)
    const taken = this.#taken.get(run.turn.id) ?? new Set()
    for (const name of names) taken.add(name)
    this.#taken.set(run.turn.id, taken)
    this.#tell(run, "info")
  }

  /** It says what it has taken over. */
  #say(run: Run): void {
    run.handed.push(...run.taken)
    run.taken.clear()
    run.noticed?.()
  }

  /** Says what it takes over, at the latest when it is over: what it took is the turn's, and in its answer. */
  #taking(run: Run): Stream.Stream<Agent.AgentEvent> {
    const noticed = Effect.callback<void>((resume) => {
      const done = () => {
        run.noticed = undefined
        if (!run.life.dead) resume(Effect.void)
      }
      if (run.over || run.goesOn || run.handed.length > 0) done()
      else run.noticed = done
    })
    const goOn = (): Agent.AgentEvent => {
      const messages = [...run.untaken, ...run.taken, ...run.handed]
      // What it has to go on with is its end: it has that at once.
      const joined = (ids: ReadonlyArray<string>) => {
        this.#take(
          run,
          [...run.untaken].filter(({ id }) => ids.includes(id))
        )
        run.untaken.clear()
        run.goesOn = false
        this.#end(run, "ok")
      }
      run.taken.clear()
      run.handed.length = 0
      return { _tag: "Steered", ids: messages.map(({ id }) => id), joined }
    }
    return Stream.unfold(undefined, () =>
      Effect.map(noticed, () => {
        if (run.goesOn && !run.over) return [goOn(), undefined] as const
        // One that fails has no word left to say.
        if (run.over && !run.fails) this.#say(run)
        const messages = run.handed.splice(0)
        if (messages.length === 0) return undefined
        const event: Agent.AgentEvent = { _tag: "Steered", ids: messages.map(({ id }) => id) }
        return [event, undefined] as const
      })
    )
  }

  /** It is told to let go, and waited for: until it does, or until it is killed. A stop that begins meanwhile hurries it. */
  #letGo(run: Run): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      if (run.over || run.life.dead) return
      if (run.act.letsGo === 0) return this.#end(run, "fail")
      const budget = yield* Agent.StopBudget
      let waited = 0
      while (!run.over && waited < run.act.letsGo) {
        const left = Math.min(grace - waited, (yield* budget) - killing)
        if (left <= 0) return this.#end(run)
        const piece = Math.min(left, run.act.letsGo - waited, piecesOf)
        yield* this.#wait(run, piece)
        waited += piece
      }
      this.#end(run, "fail")
    })
  }

  /** What an earlier boot left behind. */
  #orphans(life: Life, epoch: number): ReadonlyArray<Agent.Orphan> {
    return [...this.#running]
      .filter((run) => run.life !== life && run.life.dead && !run.over)
      .map((run) => ({
        pid: run.pid,
        epoch: run.life.epoch === 0 ? epoch - 1 : run.life.epoch,
        session: run.session,
        turn: run.turn.id,
        reap: Effect.suspend(() => {
          if (run.over) return Effect.void
          const millis = Math.min(run.act.letsGo, grace)
          return Effect.map(this.#waitIn(life, millis), () =>
            this.#end(run, run.act.letsGo <= grace ? "fail" : undefined)
          )
        }),
        gone: this.#overIn(life, run)
      }))
  }

  #waitIn(life: Life, millis: number): Effect.Effect<void> {
    return millis === 0
      ? Effect.void
      : Effect.callback<void>((resume) => {
          const cancel = this.#around.time.timer(life, millis, () => resume(Effect.void))
          return Effect.sync(cancel)
        })
  }

  #overIn(life: Life, run: Run): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const done = () => {
        if (!life.dead) resume(Effect.void)
      }
      if (run.over) done()
      else run.waiting.push(done)
    })
  }

  /** The agent as one process of the gateway has it. */
  agent(life: Life): Agent.Agent {
    const { plan } = this.#around
    return Agent.make({
      resume: plan.resume,
      orphan: plan.orphanFor === 0 ? "reap" : { await: plan.orphanFor },
      stallTimeout,
      open: (session) =>
        Effect.sync(() => ({
          ...(plan.takes === undefined
            ? {}
            : {
                steer: (messages: ReadonlyArray<TurnMessage>) =>
                  Effect.sync(() => this.#steer(life, session.id, messages))
              }),
          answer: (turn: Turn) =>
            Stream.unwrap(
              Effect.suspend(() =>
                life.dead
                  ? Effect.never
                  : Effect.map(
                      Effect.acquireRelease(
                        Effect.sync(() => this.#begin(life, session.id, turn)),
                        (run) => this.#letGo(run)
                      ),
                      (run) => this.#answer(run)
                    )
              )
            )
        })),
      ...(plan.child ? { orphans: ({ epoch }) => Effect.sync(() => this.#orphans(life, epoch)) } : {})
    })
  }
}
