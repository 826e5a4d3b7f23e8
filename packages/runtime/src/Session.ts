/**
 * One conversation's session as one fiber. It takes what waits (a cut-off turn
 * first, then an older boot's backlog, then the line), claims it, lets the agent
 * answer, settles, and goes on; it ends when nothing is left and the agent has
 * been idle long enough. A crash at any point leaves an open turn or waiting
 * rows, which is all that the next boot needs.
 *
 *   resting --ring--> [ permit -> claim -> answer -> settle ]* --> idle --> closing --> resting
 */
import * as Effect from "effect/Effect"
import * as FollowupQueue from "./FollowupQueue.ts"
import { around, bound, closeAgent, type Kept, openAgent } from "./internal/session/agents.ts"
import { attempt, type Cut, CutSignal, type Outcome, type Pulse } from "./internal/session/attempt.ts"
import { claimNext, toTurn } from "./internal/session/claiming.ts"
import { Alarm, type Environment } from "./internal/session/Environment.ts"
import { onEvent } from "./internal/session/events.ts"
import { finish } from "./internal/session/finish.ts"
import { dispatchable, waitsForResume } from "./internal/session/next.ts"
import { endQuestions } from "./internal/session/questions.ts"
import { stillAtIt } from "./internal/session/slow.ts"
import type { Hold } from "./internal/session/Spending.ts"
import { Tally } from "./internal/session/Tally.ts"
import { Handed, steered } from "./internal/session/steering.ts"
import { isQuiet, type Written, writtenFor } from "./internal/session/Written.ts"
import type { Claimed, JournalError, PermissionRow, RowKey, SessionRow, TurnRow } from "./Journal.ts"
import { sessionKey, type SessionState } from "./Message.ts"

/** A turn that is open and not running: cut off by an earlier boot, or waiting for its next try. */
export interface OpenTurn {
  readonly turn: TurnRow
  /** Left by an earlier boot and not dispatched since: a new message may supersede it. */
  readonly fromBoot: boolean
  /** A process of its last attempt is awaited, which counts as dispatched: nothing supersedes it. */
  readonly awaited: boolean
  /** Monotonic milliseconds before which it is not tried again. */
  readonly notBefore: number
}

/** The attempt that runs. Times are monotonic milliseconds. */
export interface Running {
  readonly claimed: Claimed
  readonly startedAt: number
  /** How long the session had rested, milliseconds; absent at its first turn. */
  readonly idleFor: number | undefined
  readonly pulse: Pulse
  readonly cut: CutSignal
  /** Its text is shown in a placeholder. */
  readonly places: boolean
  /** Nothing of it is shown but its answer. */
  readonly quiet: boolean
  /** What it has used so far. */
  readonly tally: Tally
  /** Tools that have begun and not ended, by their ids, in that order. */
  readonly tools: Map<string, { readonly name: string; readonly sideEffects: boolean }>
  /** The one of them that the journal knows of: its outcome is unknown after a crash. */
  marked: string | undefined
  responding: boolean
  /** What came meanwhile and was handed to it. */
  readonly handed: Handed
  /** The text so far. */
  shown: string
  /** The text with what is done in between, if the session's output mode wants that. */
  readonly written: Written | undefined
}

/** A question of the running turn. */
export interface Question {
  readonly row: PermissionRow
  readonly respond: (option: string | undefined) => Effect.Effect<void>
  readonly expires: Alarm
  /** Its person wrote something else, and was told that it is still open. */
  reminded: boolean
}

/** What a running attempt is doing, or was when it ended. */
export const doing = ({ pulse, responding, tools }: Running): SessionState => {
  if (pulse.waiting) return { name: "waiting" }
  const tool = [...tools.values()].at(-1)
  if (tool !== undefined) return { name: "tool", tool: tool.name }
  return { name: responding ? "responding" : "processing" }
}

/** A trial that takes longer lets the next suspect have its own, milliseconds. */
const trial = 300_000

/** What a session is in memory. Everything durable about it is in the journal. */
export class Session {
  readonly id: number
  readonly env: Environment
  readonly line: FollowupQueue.Line<RowKey>
  row: SessionRow | undefined = undefined
  open: OpenTurn | undefined = undefined
  running: Running | undefined = undefined
  /** A command ended this turn while its claim was still on its way here. */
  endedEarly: { readonly turn: number; readonly by: string } | undefined = undefined
  agent: Kept | undefined = undefined
  /** Waiting messages of older epochs that are only in the journal, and the lowest seq that they can have. */
  backlog = 0
  backlogFrom = 0
  /** Messages in a burst that has not closed. */
  arriving = 0
  /** What comes behind a running turn is handed to it, where its agent can take it. */
  steers = false
  /** What is not configured, or a budget that is used up: nothing starts until that has changed. */
  held: string | undefined = undefined
  /** The budget that it is held by. */
  hold: Hold | undefined = undefined
  /** A command or a resume by hand ended the pause for it. */
  unpaused = false
  /** Completes when processes of an earlier boot have let go of its turn. */
  orphan: Effect.Effect<void> | undefined = undefined
  /** The turn that queue mode `interrupt` cut: its messages are context of the next. */
  context: number | undefined = undefined
  /** People were told that this is held. */
  toldHeld = false
  /** People were told that they wait, in this busy period. */
  toldWaiting = false
  /** What comes now does not come behind a running turn: the cap is not for it. */
  exempt = false
  /** Makes room when it is idle. */
  evicted = false
  /** When its last turn ended, monotonic milliseconds. */
  restedAt = 0
  readonly questions = new Map<number, Question>()
  #permit = false
  #parked: (() => void) | undefined = undefined

  constructor(id: number, env: Environment) {
    this.id = id
    this.env = env
    this.line = FollowupQueue.makeLine<RowKey>({
      cap: env.options.queue.cap,
      drop: env.options.queue.drop,
      opens: (row) => row.opens,
      counted: (row) => row.epoch === env.epoch && !this.exempt,
      weight: (row) => row.bytes
    })
  }

  get key() {
    return this.row === undefined ? `session ${this.id}` : sessionKey(this.row.conversationKey, this.row.name)
  }

  get hasWork() {
    return this.open !== undefined || this.backlog > 0 || this.line.size > 0
  }

  /** Nothing about it is only in memory: the next message finds the rest in the journal. */
  get forgettable() {
    return !this.hasWork && this.arriving === 0 && this.orphan === undefined
  }

  /** How many more messages may come before one would fall: with those of the burst that is still open. Infinite where the older ones fall. */
  get room(): number {
    return this.running !== undefined && this.line.drop === "new" ? this.line.room - this.arriving : Infinity
  }

  /** Something changed: look again. Synchronous; harmless at any time. */
  ring() {
    const parked = this.#parked
    this.#parked = undefined
    parked?.()
  }

  /** Tells the running attempt to let go; the first reason counts. `false` when none runs or it was told before. */
  cutOff(cut: Cut): boolean {
    return this.running !== undefined && this.running.cut.give(cut)
  }

  /** Takes over the stored settings. */
  configure(row: SessionRow) {
    this.row = row
    const mode = row.queueMode ?? this.env.options.queue.mode
    this.line.mode = mode === "followup" || mode === "interrupt" ? mode : "collect"
    this.steers = mode === "steer"
  }

  /** What it is doing, from facts. */
  state(): SessionState {
    const { running } = this
    if (running === undefined) {
      if (this.arriving > 0) return { name: "receiving" }
      if (this.open !== undefined) return { name: "suspended" }
      return { name: this.env.gate.draining && this.hasWork ? "draining" : "idle" }
    }
    return doing(running)
  }

  /** What it waits for, in words for an operator. */
  waitsFor(): string {
    const { open, running } = this
    if (this.held !== undefined) return this.held
    if (running !== undefined) {
      const state = doing(running)
      if (state.name === "waiting") return "a person's decision"
      return state.name === "tool" ? `tool ${state.tool}` : "its agent"
    }
    if (open !== undefined) {
      if (this.orphan !== undefined) return "a process of an earlier boot to end"
      if (waitsForResume(this)) return "automatic resume, which is paused"
      return open.notBefore > this.env.now() ? "its next try" : "its turn to resume"
    }
    if (this.arriving > 0) return "the end of a burst"
    return this.hasWork ? "a free place" : "nothing"
  }

  /** When the turn that failed is tried again. */
  retry(): { readonly retryIn?: number } {
    const left = this.running === undefined && this.open !== undefined ? this.open.notBefore - this.env.now() : 0
    return left > 0 ? { retryIn: left } : {}
  }

  /** Tells those who watch what it is doing now. */
  tellState() {
    const conversation = this.row?.conversationKey
    if (conversation === undefined || !this.env.watchers.has(conversation)) return
    this.env.watchers.tell(conversation, { _tag: "State", session: this.key, state: this.state() })
  }

  /** The fiber's life: ends when there is nothing to do. Its agent ends with it. */
  readonly live: Effect.Effect<void, JournalError> = Effect.suspend(() => {
    this.evicted = false
    return Effect.ensuring(this.#loop, closeAgent(this))
  })

  /** Gives the place of the turn limit back, if it has one. */
  leave() {
    if (this.#permit) this.env.gate.leave()
    this.#permit = false
  }

  /** Takes a place for the attempt again after it waited for a person; `false` when it is over or has one already. */
  enter(running: Running): Effect.Effect<boolean> {
    return Effect.map(this.env.gate.reenter, () => {
      const wanted = this.running === running && !this.#permit
      if (wanted) this.#permit = true
      else this.env.gate.leave()
      return wanted
    })
  }

  readonly #loop: Effect.Effect<void, JournalError> = Effect.gen({ self: this }, function* () {
    if (this.row === undefined) {
      const row = yield* this.env.journal.session(this.id)
      if (row === undefined) return
      this.configure(row)
    }
    while (true) {
      const next = dispatchable(this)
      if (next._tag === "End") return
      if (next._tag === "Ready") {
        yield* this.#dispatch
        continue
      }
      this.env.changed()
      if (!(yield* this.#park(next.millis)) && next.ends) return
    }
  })

  /** `true` when it was rung, `false` when the time was over. */
  #park(millis: number | undefined): Effect.Effect<boolean> {
    return Effect.callback<boolean>((resume) => {
      const { alarms } = this.env
      const over = new Alarm(() => leave(false))
      const leave = (rung: boolean) => {
        this.#parked = undefined
        alarms.disarm(over)
        resume(Effect.succeed(rung))
      }
      this.#parked = () => leave(true)
      if (millis !== undefined) alarms.arm(over, alarms.now() + millis)
      return Effect.sync(() => {
        this.#parked = undefined
        alarms.disarm(over)
      })
    })
  }

  /** Waits for what the work needs, then chooses it: what waited may have changed meanwhile. */
  readonly #dispatch: Effect.Effect<void, JournalError> = Effect.gen({ self: this }, function* () {
    if (this.orphan !== undefined) {
      const gone = yield* Effect.raceFirst(Effect.as(this.orphan, true), Effect.as(this.#park(undefined), false))
      // Rung: a stop or a command may have changed what is to be done.
      if (!gone) return
      this.orphan = undefined
    }
    if (this.open === undefined || this.open.turn.crashes < 2) return yield* this.#admitted
    if (!(yield* this.env.suspects.enter)) return
    let tried = true
    const acquit = Effect.sync(() => {
      if (tried) this.env.suspects.leave()
      tried = false
    })
    const timer = yield* Effect.forkChild(Effect.andThen(Effect.sleep(trial), acquit))
    yield* Effect.ensuring(
      this.#admitted,
      Effect.andThen(
        acquit,
        Effect.sync(() => timer.interruptUnsafe())
      )
    )
  })

  readonly #admitted: Effect.Effect<void, JournalError> = Effect.gen({ self: this }, function* () {
    if (!(yield* this.env.gate.enter)) return
    this.#permit = true
    yield* Effect.ensuring(
      // The gate may have narrowed, and the line may have been cleared, while it waited.
      dispatchable(this)._tag === "Ready" ? this.#turn : Effect.void,
      Effect.sync(() => this.leave())
    )
  })

  readonly #turn: Effect.Effect<void, JournalError> = Effect.gen({ self: this }, function* () {
    const claimed = yield* claimNext(this)
    if (claimed === undefined) return
    // claimed: from here on a crash resumes the turn
    const now = this.env.now()
    const running: Running = {
      claimed,
      startedAt: now,
      idleFor: this.#idleFor(claimed),
      pulse: { at: now, shownAt: now, waiting: false },
      cut: new CutSignal(),
      places: this.env.outbox.route(claimed.session.address).places,
      quiet: isQuiet(this),
      tally: new Tally(),
      tools: new Map(),
      // What an earlier attempt had begun stays known until this one begins something itself.
      marked: undefined,
      responding: false,
      handed: new Handed(),
      shown: "",
      written: writtenFor(this)
    }
    this.running = running
    this.#named(claimed)
    // What came while the claim was being committed.
    if (this.endedEarly?.turn === claimed.turn.id) this.cutOff({ _tag: "Cancelled", by: this.endedEarly.by })
    if (this.env.gate.isShut) this.cutOff({ _tag: "Interrupted", reason: this.env.stop.reason })
    this.endedEarly = undefined
    this.env.started(this)
    this.tellState()
    const outcome = yield* this.#attempt(running)
    if (outcome._tag === "Failed") yield* closeAgent(this)
    yield* finish(this, running, outcome)
    yield* endQuestions(this, outcome)
    this.running = undefined
    this.restedAt = this.env.now()
    if (this.line.size === 0) this.toldWaiting = false
    this.env.ended(this, running, outcome)
    this.tellState()
  })

  #idleFor({ session, turn }: Claimed): number | undefined {
    return this.row?.agent === "" ? undefined : Math.max(0, turn.startedAt - session.lastActive)
  }

  /** Its first turn has fixed its agent: after a reload it waits for that one and runs with no other. */
  #named({ session }: Claimed) {
    if (this.row?.agent === "") this.row = { ...this.row, agent: session.agent }
  }

  /** Where people are written to they see that it is worked on; whoever pulls needs nothing, not even a scope. */
  #attempt(running: Running): Effect.Effect<Outcome, JournalError> {
    const { cut } = running.cut
    if (cut !== undefined) return Effect.succeed({ _tag: "Cut", cut })
    const { session, turn } = running.claimed
    const { outbox } = this.env
    if (outbox.route(session.address).pull) return this.#answer(running)
    const shown = Effect.andThen(
      running.places ? outbox.begin(turn.id, session) : Effect.void,
      Effect.forkScoped(stillAtIt(this, running))
    )
    return Effect.scoped(Effect.andThen(shown, this.#answer(running)))
  }

  #answer(running: Running) {
    return Effect.gen({ self: this }, function* () {
      const { claimed } = running
      const opened = yield* openAgent(this, running)
      if (opened._tag !== "Opened") return opened
      const { agent, open: bare } = opened.kept
      const open = this.steers ? steered(this, running, bare) : bare
      return yield* attempt({
        open,
        turn: yield* this.env.files.ofTurn(toTurn(claimed)),
        stall: bound(agent.stallTimeout),
        timeout: bound(agent.turnTimeout),
        pulse: running.pulse,
        now: this.env.now,
        cut: running.cut,
        more: around(this, claimed),
        onEvent: (event) => onEvent(this, running, event)
      })
    })
  }
}
