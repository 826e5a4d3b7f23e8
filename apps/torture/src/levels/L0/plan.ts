/**
 * What happens in one history, drawn from its seed before it begins: who is there,
 * how the gateway is configured, what goes wrong, and the steps. A plan is plain
 * data, so that a history which breaks a promise can be played again with fewer
 * steps. Times are milliseconds.
 */
import type { DeliveryClass } from "../../history/Operation.ts"
import { Random } from "./random.ts"

/** What an agent's program does with a message. A batch takes what is longest and worst of its messages. */
export interface Act {
  readonly work: number
  /** So many runs with it fail before one answers. */
  readonly fails: number
  /** They fail at once, and not at the end of their work. */
  readonly early: boolean
  /** It never answers: its stall timeout ends it. */
  readonly hangs: boolean
  /** It begins a tool with side effects on its way. */
  readonly tool: boolean
  /** It shows its text in pieces. */
  readonly talks: boolean
  /** It asks a person on its way. */
  readonly asks: boolean
  /** How long it takes to let go when it is told to; `Infinity`: until it is killed. */
  readonly letsGo: number
  /** The channel cuts its answer into so many. */
  readonly parts: number
}

/** What happens to one request to a far side, or to one acknowledgement of the gateway's. */
export type Fate =
  | "answer"
  | "slow"
  | "drop"
  | "lose"
  | "lose-answer"
  | "duplicate"
  | "hang"
  | "throttle"
  | "throttle-all"
  | "defect"
  | "refuse"

export interface Talk {
  readonly channel: DeliveryClass
  readonly peer: string
  /** Anything may be stopped, dropped, cut short or refused here: only ends count, not answers. */
  readonly loose: boolean
}

export type Step =
  | { readonly do: "say"; readonly talk: number; readonly client: 0 | 1; readonly act: Act }
  | { readonly do: "command"; readonly talk: number; readonly text: string }
  /** The host has something to say that nobody asked for. */
  | { readonly do: "post"; readonly talk: number; readonly parts: number }
  /** kill -9: now, at the n-th boundary from now, or at the n-th statement from now. `next`: now, and the next boot there. */
  | {
      readonly do: "crash"
      readonly at: "now" | "boundary" | "statement"
      readonly nth: number
      readonly done: boolean
      readonly next: boolean
    }
  | {
      readonly do: "fault"
      readonly what: "busy" | "full" | "ioError" | "fsync"
      readonly nth: number
      readonly times: number
      readonly done: boolean
      readonly next: boolean
    }
  | { readonly do: "stop"; readonly reason: "stop" | "restart"; readonly force: boolean }
  /** The configuration is read again: it has every channel, or one is missing until it is read once more. */
  | { readonly do: "reload"; readonly without?: DeliveryClass }
  | { readonly do: "fates"; readonly channel: DeliveryClass; readonly fates: ReadonlyArray<Fate> }
  | { readonly do: "jump"; readonly by: number }

/** A step, so many milliseconds after the one before. */
export type TimedStep = Step & { readonly after: number }

export interface Plan {
  readonly seed: number
  readonly talks: ReadonlyArray<Talk>
  readonly pollers: boolean
  /** Quiet period of a burst; channels that are pulled have none. */
  readonly quiet: number
  readonly mode: "collect" | "followup" | "interrupt" | "steer"
  /** How long an agent needs to take over what comes while it runs; absent: it can't be steered. `Infinity`: it never does. */
  readonly takes?: number
  /** How long it then needs to say so; absent: at once. `Infinity`: it says so when its turn ends, and not before. */
  readonly says?: number
  /** Of what it did not take before its end nobody knows: then it goes on with that in the same turn. */
  readonly vague?: boolean
  /** How long a question waits for a person (0: for ever), and what becomes of it when its process stops. */
  readonly questions?: { readonly expireAfter: number; readonly onStop: "keep" | "cancel" }
  readonly cap: number
  readonly drop: "summarize" | "old" | "new"
  readonly turnLimit: number
  readonly drain: { readonly timeout: number; readonly startWithin: number }
  readonly deliverTimeout: number
  readonly resume: "resume" | "restart" | "ask" | "drop-with-notice"
  /** The agent's programs are processes of their own: they outlive a gateway that is killed. */
  readonly child: boolean
  /** How long an orphan is awaited; 0: it is ended at once. */
  readonly orphanFor: number
  readonly idleTimeout: number
  /** How often the outside misbehaves without being told to, 0 to 1. */
  readonly weather: number
  /** How long the gateway stays down after a death. */
  readonly down: ReadonlyArray<number>
  /** How many operations a fiber may do before another one runs. */
  readonly slice: number
  /** Texts are so short that a sentence in front of a reply has to go ahead of it. */
  readonly short: boolean
  readonly steps: ReadonlyArray<TimedStep>
}

const gaps = [
  [0, 6],
  [1, 2],
  [40, 2],
  [300, 4],
  [900, 4],
  [2500, 4],
  [8000, 2],
  [61_000, 1],
  [400_000, 0.3]
] as const

const works = [
  [0, 1],
  [200, 2],
  [1500, 6],
  [4000, 4],
  [20_000, 1]
] as const

const quickly = { fails: 0, early: false, hangs: false, tool: false, talks: false, asks: false, letsGo: 0, parts: 1 }

const actOf = (random: Random, loose: boolean): Act => ({
  ...quickly,
  work: random.weighted(works),
  fails: random.chance(0.1) ? random.int(1, loose ? 4 : 2) : 0,
  early: random.chance(0.5),
  hangs: loose && random.chance(0.05),
  tool: random.chance(0.15),
  talks: random.chance(0.3),
  asks: loose && random.chance(0.06),
  letsGo: random.weighted([
    [0, 5],
    [30, 3],
    [1500, 1],
    [Infinity, 1]
  ])
})

const commands = ["/stop", "/status", "/queue followup", "/queue interrupt", "/help", "/timeout 5"] as const
const harmless = ["/status", "/help", "/timeout 5", "/sessions"] as const

/** Commands that open further sessions of a conversation, or run again what was set aside. */
const sessionCommands = ["/new side", "/session side", "/session main", "/new third", "/retry", "/retry"] as const

const fates = [
  ["slow", 3],
  ["drop", 3],
  ["lose", 2],
  ["lose-answer", 3],
  ["duplicate", 2],
  ["hang", 1],
  ["throttle", 1],
  ["throttle-all", 1],
  ["defect", 1],
  ["refuse", 0.3]
] as const

const classes = ["pull", "keyed", "edit", "resend-once", "hold"] as const

const stepOf = (random: Random, talks: readonly [Talk, ...ReadonlyArray<Talk>]): Step => {
  const talk = random.int(0, talks.length - 1)
  const { channel, loose } = talks[talk] ?? talks[0]
  const what = random.weighted([
    ["say", 12],
    ["command", 1.2],
    ["crash", 2.4],
    ["fault", 0.7],
    ["stop", 1],
    ["reload", 0.5],
    ["fates", 2],
    ["jump", 0.3]
  ])
  switch (what) {
    case "say":
      return { do: "say", talk, client: random.chance(0.8) ? 0 : 1, act: actOf(random, loose) }
    case "command":
      return { do: "command", talk, text: random.pick(loose ? commands : harmless) }
    case "crash":
      return {
        do: "crash",
        at: random.weighted([
          ["now", 2],
          ["boundary", 4],
          ["statement", 4]
        ]),
        nth: random.chance(0.6) ? random.int(1, 6) : random.int(1, 40),
        done: random.chance(0.5),
        next: random.chance(0.25)
      }
    case "fault":
      return {
        do: "fault",
        what: random.pick(["busy", "full", "ioError", "fsync"]),
        nth: random.int(1, 20),
        times: random.pick([1, 1, 2, 40]),
        done: random.chance(0.3),
        next: random.chance(0.25)
      }
    case "stop":
      return { do: "stop", reason: random.pick(["stop", "restart"]), force: random.chance(0.15) }
    case "reload":
      return { do: "reload" }
    case "fates":
      return {
        do: "fates",
        channel,
        fates: Array.from({ length: random.int(1, 4) }, () => {
          const fate = random.weighted(fates)
          return fate === "refuse" && !talks.every((one) => one.loose) ? "drop" : fate
        })
      }
    case "jump":
      return { do: "jump", by: random.pick([-86_400_000, -3_600_000, -5000, 5000, 120_000, 3_700_000, 90_000_000]) }
  }
}

/** The plan of a seed without what {@link widePlanOf} adds. */
export const narrowPlanOf = (seed: number): Plan => {
  const random = new Random(seed)
  const talks = Array.from(
    {
      length: random.weighted([
        [1, 5],
        [2, 4],
        [3, 1]
      ])
    },
    (_, index): Talk => ({
      channel: random.pick(classes),
      peer: ["kim", "lee", "max"][index] ?? "amy",
      loose: random.chance(0.4)
    })
  ) as [Talk, ...Array<Talk>]
  const loose = talks.every((talk) => talk.loose)
  const count = random.weighted([
    [3, 2],
    [5, 4],
    [8, 3],
    [12, 2],
    [20, 0.7],
    [30, 0.3]
  ])
  const steps = Array.from({ length: count }, (): TimedStep => {
    const after = random.weighted(gaps)
    return Object.assign(stepOf(random, talks), { after })
  })
  return {
    seed,
    talks,
    pollers: random.chance(0.5),
    quiet: random.pick([0, 300, 300]),
    mode: loose ? random.pick(["collect", "followup", "interrupt"]) : random.pick(["collect", "followup"]),
    cap: loose ? random.pick([1, 2, 20]) : 20,
    drop: random.pick(["summarize", "old", "new"]),
    turnLimit: random.pick([1, 2, 32]),
    drain: { timeout: random.pick([1000, 5000, 30_000]), startWithin: random.pick([0, 1000, 5000]) },
    deliverTimeout: random.pick([5000, 60_000]),
    resume: loose ? random.pick(["resume", "restart", "ask", "drop-with-notice"]) : random.pick(["resume", "restart"]),
    child: random.chance(0.5),
    orphanFor: random.pick([0, 0, 3000, 60_000]),
    idleTimeout: random.pick([60_000, 600_000]),
    weather: random.pick([0, 0, 0.05, 0.2]),
    down: Array.from({ length: 4 }, () =>
      random.weighted([
        [5, 3],
        [400, 4],
        [3000, 3],
        [20_000, 1],
        [400_000, 0.5]
      ])
    ),
    slice: random.weighted([
      [2048, 4],
      [64, 1],
      [13, 1]
    ]),
    short: false,
    steps
  }
}

/** Posts, long answers and further sessions; drawn apart, so that a narrow plan stays what it was. */
const widen = (plan: Plan): Plan => {
  const random = new Random(plan.seed ^ 0x3c6ef372)
  const often = random.pick([0, 0.1, 0.3, 0.6])
  const extra = (): TimedStep => {
    const after = random.weighted(gaps)
    const talk = random.int(0, plan.talks.length - 1)
    if (random.chance(0.15)) {
      const without = random.chance(0.6) ? plan.talks[talk]?.channel : undefined
      return { do: "reload", after, ...(without === undefined ? {} : { without }) }
    }
    if (random.chance(0.4)) return { do: "post", talk, parts: random.pick([1, 1, 3]), after }
    const cancels = plan.talks[talk]?.loose === true && random.chance(0.2)
    return { do: "command", talk, text: cancels ? "/new" : random.pick(sessionCommands), after }
  }
  const retry = (talk: number): TimedStep => ({
    do: "command",
    talk,
    text: "/retry",
    after: random.weighted(gaps)
  })
  const steps = plan.steps.flatMap((step): ReadonlyArray<TimedStep> => {
    const parts = step.do === "say" && random.chance(often) ? random.int(2, 4) : 1
    const wide = step.do === "say" ? { ...step, act: { ...step.act, parts } } : step
    const again = step.do === "command" && step.text === "/stop" && random.chance(0.6) ? [retry(step.talk)] : []
    return [wide, ...again, ...(random.chance(often) ? [extra()] : [])]
  })
  return { ...plan, short: random.chance(0.3), steps }
}

/** The plan of a seed with all that there is. */
export const widePlanOf = (seed: number): Plan => widen(narrowPlanOf(seed))

/** Messages are handed to the turn that runs, and questions expire; drawn apart, for the same reason. */
const steer = (plan: Plan): Plan => {
  const random = new Random(plan.seed ^ 0x2545f491)
  const takes = random.weighted([
    [0, 3],
    [50, 3],
    [700, 3],
    [Infinity, 1]
  ])
  const questions = {
    expireAfter: random.pick([0, 400, 5000, 3_600_000]),
    onStop: random.pick(["keep", "cancel"] as const)
  }
  return { ...plan, mode: "steer", takes, questions }
}

/** The plan of a seed with steering. */
export const steeringPlanOf = (seed: number): Plan => steer(widePlanOf(seed))

/** What is taken over is told later, or only at the end; drawn apart, for the same reason. */
const hush = (plan: Plan): Plan => {
  const random = new Random(plan.seed ^ 0x165667b1)
  const says = random.pick([400, 3000, Infinity, Infinity])
  const takes = random.pick([0, 50, 700])
  return random.chance(0.7)
    ? { ...plan, takes, says }
    : { ...plan, takes: takes === 0 ? Infinity : 700, says, vague: true }
}

/** The plan of a seed with agents that take messages over and don't say so at once. */
export const silentPlanOf = (seed: number): Plan => hush(steeringPlanOf(seed))

/**
 * The plan of a seed. Half of them are narrow, and a third of all are steered, half of those by agents that say late what
 * they took: what goes wrong there is not thinned out by more steps.
 */
export const planOf = (seed: number): Plan => {
  const plan = new Random(seed ^ 0x1b873593).chance(0.5) ? widePlanOf(seed) : narrowPlanOf(seed)
  if (!new Random(seed ^ 0x7feb352d).chance(1 / 3)) return plan
  return new Random(seed ^ 0x2c1b3c6d).chance(0.5) ? hush(steer(plan)) : steer(plan)
}
