/**
 * The life of one process of the gateway: it boots over the store, is used, and
 * ends by a planned stop, by a failure of its own, or by a kill at any boundary,
 * at any statement, or at any other moment. From that moment on nothing of it
 * runs, commits, sends or is heard of.
 */
import type * as Agent from "@sluice/runtime/Agent"
import type * as Channel from "@sluice/runtime/Channel"
import { Gateway, type GatewayOptions } from "@sluice/runtime/Gateway"
import { Journal } from "@sluice/runtime/Journal"
import type { Report } from "@sluice/runtime/Shutdown"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import { Boundary, type Label } from "../../../../../packages/runtime/src/internal/boundary.ts"
import type { DeliveryClass } from "../../history/Operation.ts"
import type { History } from "./history.ts"
import type { Plan } from "./plan.ts"
import { type Mishap, resultCodes, type Store } from "./store.ts"
import { type Owner, schedulerOf, SimulatedClock, type Time } from "./time.ts"

/** What all processes of one history share. */
export interface Surroundings {
  readonly plan: Plan
  readonly time: Time
  readonly store: Store
  readonly history: History
  /** What the wall clock shows when the history begins; it may be moved. */
  readonly wall: { offset: number }
  /** The program's code: its channels and its agent, for this process. */
  readonly channels: (life: Life) => { readonly [name: string]: Channel.Channel }
  readonly agent: (life: Life) => Agent.Agent
  /** Somebody can be reached now. */
  readonly connected: (life: Life) => void
  /** It is gone; nobody of it can be waited for any more. */
  readonly gone: (life: Life) => void
  /** Processes of its agents that are alive. */
  readonly children: (life: Life) => ReadonlyArray<number>
}

interface Fault {
  skip: number
  left: number
  readonly mishap: Mishap
}

/** A round that does not pass its boundary ends its journal; everything else just stops. */
const ended = Effect.die(new Error("the process is dead"))

const watchdog = 60_000
/** A reply that somebody is to see; what a command answers is owed to nobody, and comes all the same. */
const underWay = ["pending", "sending", "placing", "placed"] as const
/** The exit code of a gateway whose store failed. */
const storageFailed = 74

export class Life implements Owner {
  dead = false
  stopping = false
  /** It could be reached at least once. */
  ready = false
  epoch = 0
  readonly boot: number
  readonly pid: number
  readonly handles = new Map<string, Channel.Handle>()
  /** Channels that it was configured with at some time. */
  readonly channels = new Set<string>()
  readonly #around: Surroundings
  readonly #context: Context.Context<never>
  #gateway: Gateway["Service"] | undefined
  #faults: Array<Fault> = []
  /** Boundaries until it dies. */
  #grave = Infinity
  /** The last boot before this one. */
  #before = 0

  constructor(around: Surroundings, boot: number) {
    this.#around = around
    this.boot = boot
    this.pid = 1000 + boot
    const { plan, time, wall } = around
    this.#context = Context.make(Scheduler.Scheduler, schedulerOf(time, this)).pipe(
      Context.add(Scheduler.MaxOpsBeforeYield, plan.slice),
      Context.add(Clock.Clock, new SimulatedClock(time, this, wall, time.now)),
      Context.add(References.MinimumLogLevel, "None"),
      Context.add(Boundary, this.#cross)
    )
  }

  readonly #cross = (label: Label): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (!this.dead && --this.#grave > 0) return Effect.void
      this.kill(label)
      return label.startsWith("before:") || label.startsWith("inside:") || label.startsWith("after:")
        ? ended
        : Effect.never
    })

  /** It dies at the n-th boundary from now. */
  dieAtBoundary(nth: number): void {
    this.#grave = nth
  }

  /** Something goes wrong at the n-th statement from now, so many times. */
  fault(nth: number, times: number, mishap: Mishap): void {
    this.#faults.push({ skip: nth - 1, left: times, mishap })
  }

  /** What was broken works again. */
  mend(): void {
    this.#faults = []
    this.#grave = Infinity
  }

  #mishap(statement: string): Mishap | undefined {
    if (this.#faults.length === 0) return undefined
    for (const fault of this.#faults) {
      // Locks are taken when a transaction begins.
      if (fault.mishap.what === "busy" && !statement.startsWith("begin")) continue
      if (fault.skip-- > 0) continue
      // Nobody can lose a rollback: SQLite takes back what was not committed.
      if (statement === "rollback" && fault.mishap.what !== "crash") continue
      if (--fault.left <= 0) this.#faults = this.#faults.filter((other) => other !== fault)
      // A commit that succeeded was not refused for being busy, and one on a full disk did not happen.
      const after = fault.mishap.after && fault.mishap.what !== "busy" && fault.mishap.what !== "full"
      return { what: fault.mishap.what, after }
    }
    return undefined
  }

  /** Runs something in this process; `then` hears of its end, if the process lives to see it. */
  fork<A, E>(effect: Effect.Effect<A, E>, then: (exit: Exit.Exit<A, E>) => void): Fiber.Fiber<A, E> {
    const fiber = Effect.runForkWith(this.#context)(effect)
    fiber.addObserver((exit) => {
      if (!this.dead) then(exit)
    })
    return fiber
  }

  /** What the configuration says of agents and channels now. */
  #registry() {
    const { agent, channels } = this.#around
    return { agents: { main: agent(this) }, channels: channels(this) }
  }

  #knows({ channels }: { readonly channels: object }): void {
    for (const name of Object.keys(channels)) this.channels.add(name)
  }

  #options(registry: Pick<GatewayOptions, "agents" | "channels">): GatewayOptions {
    const { plan } = this.#around
    return {
      ...registry,
      debounce: { quiet: plan.quiet },
      queue: { mode: plan.mode, cap: plan.cap, drop: plan.drop },
      turns: { limit: plan.turnLimit },
      session: { idleTimeout: plan.idleTimeout },
      ...(plan.questions === undefined ? {} : { questions: plan.questions }),
      drain: plan.drain,
      outbox: { deliverTimeout: plan.deliverTimeout }
    }
  }

  start(open: number): void {
    const { connected, history, store } = this.#around
    history.tell({ op: "boot", phase: "invoke", by: "supervisor", boot: this.boot, pid: this.pid, open })
    this.#before = store.lastEpoch()
    const client = store.client({
      dead: () => this.dead,
      mishap: (statement) => {
        this.#around.time.statement()
        return this.#mishap(statement)
      },
      die: () => this.kill("statement")
    })
    const registry = this.#registry()
    const layer = Gateway.layer(this.#options(registry)).pipe(
      Layer.provide(Journal.layer(client, { lock: Layer.empty }))
    )
    this.fork(Layer.buildWithScope(layer, Scope.makeUnsafe()), (exit) => {
      if (Exit.isFailure(exit)) {
        history.tell({ op: "boot", phase: "fail", by: "supervisor", boot: this.boot, pid: this.pid })
        return this.#end(storageFailed)
      }
      const gateway = Context.get(exit.value, Gateway)
      this.#gateway = gateway
      this.epoch = gateway.boot.epoch
      this.ready = true
      this.#knows(registry)
      history.tell({ op: "boot", phase: "ok", by: "supervisor", boot: this.boot, pid: this.pid })
      this.fork(gateway.stopped, (stopped) => this.#stopped(stopped))
      connected(this)
    })
  }

  /** The process ends by itself, once its report is there. */
  #stopped(exit: Exit.Exit<Report>): void {
    const { history } = this.#around
    if (!this.stopping) {
      const deadline = this.#around.plan.drain.timeout
      history.tell({ op: "stop", phase: "invoke", by: "the gateway", boot: this.boot, deadline })
    }
    if (Exit.isSuccess(exit)) {
      const { exitCode } = exit.value
      history.tell({
        op: "stop",
        phase: "ok",
        by: "the gateway",
        boot: this.boot,
        exitCode,
        report: { exitCode, forced: exit.value.forced, ledger: exit.value.ledger }
      })
    } else history.tell({ op: "stop", phase: "fail", by: "the gateway", boot: this.boot })
    this.#end(Exit.isSuccess(exit) ? exit.value.exitCode : 70)
  }

  #end(code: number): void {
    const { children, gone, history, store } = this.#around
    this.dead = true
    store.rollback()
    if (code === storageFailed) store.noteFailureAfter(this.#before)
    const left = children(this)
    history.tell({
      op: "exit",
      phase: "ok",
      by: "supervisor",
      boot: this.boot,
      pid: this.pid,
      code,
      signal: null,
      left
    })
    gone(this)
  }

  /** kill -9. */
  kill(during: string): void {
    if (this.dead) return
    const { gone, history, store } = this.#around
    this.dead = true
    store.rollback()
    history.tell({ op: "kill", phase: "ok", by: "supervisor", boot: this.boot, pid: this.pid, during })
    history.tell({
      op: "exit",
      phase: "ok",
      by: "supervisor",
      boot: this.boot,
      pid: this.pid,
      code: null,
      signal: "SIGKILL"
    })
    gone(this)
  }

  /** SIGTERM; a second one is in a hurry. */
  stop(reason: "stop" | "restart", force: boolean): void {
    const { history, plan, time } = this.#around
    // It has nothing yet to finish or to report.
    if (this.#gateway === undefined) return this.kill("boot")
    if (!this.stopping) {
      history.tell({ op: "stop", phase: "invoke", by: "supervisor", boot: this.boot, deadline: plan.drain.timeout })
      time.timer(this, plan.drain.timeout + watchdog, () => this.kill("a stop that does not end"))
    }
    this.stopping = true
    this.fork(this.#gateway.stop({ reason, by: "SIGTERM", ...(force ? { force: 1 as const } : {}) }), () => {})
  }

  reload(then: () => void): void {
    const { history } = this.#around
    if (this.#gateway === undefined) return
    const registry = this.#registry()
    history.tell({ op: "reload", phase: "invoke", by: "supervisor", boot: this.boot })
    this.fork(this.#gateway.reload(registry), (exit) => {
      if (Exit.isSuccess(exit)) this.#knows(registry)
      history.tell({ op: "reload", phase: Exit.isSuccess(exit) ? "ok" : "fail", by: "supervisor", boot: this.boot })
      then()
    })
  }

  /** Hands a post of the host's to the gateway, if that knows the channel: it may be missing just now, but has been there. */
  post(channel: DeliveryClass, peer: string, post: { readonly id: string; readonly text: string }) {
    return this.channels.has(channel) ? this.#gateway?.post(`${channel}/${peer}`, post) : undefined
  }

  /** The gateway's own ledger, once it says that nothing is open and nothing more is to be shown. */
  closed(then: (ledger: Effect.Success<Gateway["Service"]["audit"]>) => void): void {
    if (this.#gateway === undefined) return
    const { audit, figures } = this.#gateway
    this.fork(Effect.all([audit, figures]), (exit) => {
      if (Exit.isFailure(exit)) return
      const [ledger, { replies }] = exit.value
      const owed = underWay.some((state) => (replies[state] ?? 0) > 0)
      if (ledger.open === 0 && ledger.posts.open === 0 && !owed) then(ledger)
    })
  }
}

export { resultCodes }
