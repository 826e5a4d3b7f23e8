/**
 * Level 2: kill -9 at random moments. Several worlds run beside each other; in each the
 * gateway is killed some 50 times, half of them under load and half in the middle of a
 * boot, a stop or a reload, while people write on channels of every class, far sides
 * lose and repeat requests, and agents misbehave. Then the world comes to rest and its
 * history is judged. The seed repeats every choice, though not the machine's timing.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Bundle, bundled } from "../world/bundle.ts"
import { type Behaviours, type Kind, kinds, type People } from "../world/clients.ts"
import { unkind } from "../world/far.ts"
import { type Bot, unkindTelegram } from "../world/telegram.ts"
import { areInstalled } from "../world/agents/real.ts"
import { type Ended, type Gateway, marked } from "../world/Gateway.ts"
import { oneOf, type Random, randomOf } from "../world/random.ts"
import type { Unanswered } from "../world/wire.ts"
import * as World from "../world/World.ts"
import { type Backlogs, bootTimes } from "./backlog.ts"
import type { Budget, Verdict } from "./Level.ts"
import * as Tally from "./Tally.ts"

/** How the level is laid out. */
export interface Plan {
  /** Kills in one world before it comes to rest. */
  readonly kills: number
  /** Worlds beside each other. */
  readonly beside: number
  /** At most so many worlds. */
  readonly worlds: number
  /** How many times further apart moments are: the real programs take their time to start. */
  readonly pace: number
  /** After them: how long a boot takes with so many messages open. None in a run below five minutes. */
  readonly backlogs: Backlogs | undefined
}

/** Enough kills for chains of crashes, few enough for a history that a person can read. */
export const plan: Plan = {
  kills: 50,
  beside: 3,
  worlds: Infinity,
  pace: 1,
  backlogs: { rows: [0, 1000, 100_000], boots: 20 }
}

/** With the real programs: a second and 300 MB each, so few at once. */
const planOfReal = { kills: 15, beside: 1, pace: 6, backlogs: undefined }

/** A run that is shorter measures no backlogs: storing a hundred thousand messages alone would take its time. */
const longRun = 300_000

const words = { load: "load", boot: "a boot", stop: "a stop", reload: "a reload" }

/** What the gateway is doing when it is killed. */
type Moment = keyof typeof words

const moments = Object.keys(words) as ReadonlyArray<Moment>

const momentOf = (random: Random): Moment =>
  random() < 0.5 ? "load" : oneOf(random, ["boot", "stop", "reload"] as const)

/** What people's messages make the agent do; `slow` takes longer than a boot, so that orphans would be seen beside the next run. */
const behaviours: Behaviours = [
  "hello",
  ...Array.from({ length: 13 }, () => "hello"),
  ...Array.from({ length: 3 }, () => "slow"),
  "stubborn work300",
  "fork",
  "exit",
  "crash"
]

/** What a stop has to wait for; each world has some of them, one after the other. */
const stops = ["hello", "work500", "stubborn work1000", "hang", "fork work500", "flood", "exit", "crash"] as const
const stopsOfWorld = 3

/** Who writes what a stop has to wait for, to an agent of each kind. */
const guests: Readonly<Record<Kind, string>> = { command: "sam", acp: "sia", "claude-code": "sol" }

interface Stopping {
  readonly kind: Kind
  readonly behaviour: string
}

/** Some of them from a place on that the world's seed gives: worlds that follow each other have all of them with each kind. */
const stopsOf = (seed: number): ReadonlyArray<Stopping> =>
  Array.from({ length: stopsOfWorld }, (_, n) => {
    const at = seed * stopsOfWorld + n
    return { behaviour: stops[at % stops.length] ?? stops[0], kind: kinds[at % kinds.length] ?? kinds[0] }
  })

/** Over HTTP, one wants a turn for each burst and one cuts off what runs; and one on each other channel. */
const people = ["ann", "bob", "cem", "eli"] as const
const fars = ["keyed-eve", "edit-eve", "resend-eve", "hold-eve"] as const

/** On Telegram: one who edits, one who presses Stop, one in a topic of a group, and one who is asked. */
const telegram = ["41", "42", "-1001_7", "43"] as const

/** How a world's bot delivers and hears: worlds that follow each other have all of it. */
const bots: ReadonlyArray<Bot> = [
  { delivery: "edit" },
  { delivery: "plain" },
  { delivery: "edit", webhook: true },
  { delivery: "plain-hold" },
  { delivery: "edit" },
  { delivery: "plain", webhook: true }
]

/** Who speaks with whom: each kind in each world, and over worlds that follow each other everybody with each. */
const agentsOf = (seed: number): Readonly<Record<string, Kind>> => {
  const talks = [...people, ...fars, ...telegram.map((name) => `telegram-${name}`)]
  return {
    ...Object.fromEntries(talks.map((name, n) => [name, kinds[(seed + n) % kinds.length] ?? kinds[0]])),
    ...Object.fromEntries(kinds.map((kind) => [guests[kind], kind]))
  }
}

const habitsOf = (seed: number) => ({
  http: people,
  followup: ["bob"],
  restless: ["eli", "telegram-42"],
  telegram,
  asked: ["43"],
  guests: Object.values(guests),
  agents: agentsOf(seed),
  behaviours
})

/** With the real programs nobody cuts off what runs: of what the model is asked then it can't tell whose it was. */
const habitsOfReal = {
  http: ["ann", "bob", "cem"],
  followup: ["bob"],
  peers: [],
  guests: Object.values(guests),
  behaviours: ["hello", "slow", "work1500"],
  agents: { ann: "claude-code", bob: "acp", sia: "acp", sol: "claude-code" }
} as const

/** A model that answers late, or never at the first time, is all that a stop has to wait for there. */
const stopsOfReal: ReadonlyArray<Stopping> = [
  { kind: "claude-code", behaviour: "work500" },
  { kind: "acp", behaviour: "work500" },
  { kind: "claude-code", behaviour: "hang" },
  { kind: "acp", behaviour: "hang" }
]

/** Fewer turns at a time than conversations: some wait for their turn, and a boot does not start a process for each. */
const configuration = { turns: { limit: 5, backoff: ["50 millis", "100 millis"] } }

const sum = (counts: Record<Moment, number>) => Object.values(counts).reduce((all, one) => all + one, 0)

const sleep = (millis: number) => Effect.sleep(`${Math.ceil(millis)} millis`)

/** Ends that a gateway may come to by itself; any other one, or one that nobody asked for, breaks a promise. */
const mayEnd = ({ code, signal }: Ended) => signal === "SIGKILL" || code === 0 || code === 80

interface Life {
  readonly world: World.World
  readonly people: People
  readonly random: Random
  /** Something that no line of a history says: a gateway that ended as it must not. */
  readonly strange: Array<string>
  readonly died: Record<Moment, number>
  /** How long the world may take to come to rest, in milliseconds. */
  readonly patience: number
  readonly pace: number
  readonly agents: "real" | "stand-in"
  /** How much longer than on a free machine the last boot took, 1 to 5: moments are as much further apart. */
  slow: number
}

/** From start to ready on a machine that has nothing else to do, in milliseconds. */
const usualBoot = 250

const look = ({ strange }: Life, gateway: Gateway, asked: boolean) =>
  Effect.map(gateway.exited, (ended) => {
    if (mayEnd(ended) && (asked || ended.signal === "SIGKILL")) return
    strange.push(`boot ${gateway.boot} ended by itself with ${ended.code ?? ended.signal}`)
  })

/** The life of one gateway up to its kill, or to its own end where that comes first. */
const life = (one: Life, moment: Moment) =>
  Effect.gen(function* () {
    const { random, world } = one
    const began = yield* Clock.currentTimeMillis
    const gateway = yield* world.boot()
    const [early, late] = [random(), random()]
    if (moment === "boot") {
      // A gateway that is up by then takes messages like any other.
      yield* Effect.forkScoped(Effect.ignore(world.arrive(gateway)))
      yield* sleep(early * 400 * one.slow)
    } else {
      yield* Effect.ignore(world.arrive(gateway))
      one.slow = Math.min(5, Math.max(1, ((yield* Clock.currentTimeMillis) - began) / usualBoot))
      if (moment === "reload") yield* world.configure({ stallTimeout: `${20 + Math.floor(late * 40)} seconds` })
      // An agent that is kept between turns takes its time to start: kills meet it at work, too.
      yield* sleep(early * (moment === "load" ? 600 : 150) * one.pace)
      if (moment === "stop") yield* gateway.beginStop("load")
      if (moment === "reload") yield* gateway.beginReload
      if (moment !== "load") yield* sleep(late * (moment === "stop" ? 400 : 60) * one.slow)
    }
    const died = yield* gateway.kill(moment)
    yield* look(one, gateway, moment === "stop")
    if (died) one.died[moment]++
  }).pipe(Effect.scoped)

/** A whole stop while one agent does something that takes long. */
const wholeStop = (one: Life, { behaviour, kind }: Stopping) =>
  Effect.gen(function* () {
    const { people, world } = one
    const gateway = yield* world.boot()
    const ready = yield* world.arrive(gateway)
    yield* ready.wire.ask("/v1/admin/resume", { method: "POST", token: ready.token })
    const id = yield* people.say(guests[kind], behaviour)
    yield* world.running(id)
    const name = one.agents === "real" ? `${kind}, the real program` : kind
    yield* gateway.stop(kind === "command" ? behaviour : `${behaviour}, ${name}`)
    yield* look(one, gateway, true)
  }).pipe(Effect.scoped)

/** The last boot: everything comes to rest, and it is stopped with nothing to do. */
const settle = (one: Life) =>
  Effect.gen(function* () {
    const { people, world } = one
    const gateway = yield* world.boot()
    yield* world.rest(people, yield* world.arrive(gateway), one.patience)
    // Agents that are kept between turns keep what they have started, too, which may listen to nothing.
    const idle = marked(world.file, "left behind").length === 0
    yield* gateway.stop(idle ? "idle" : "idle, with deaf grandchildren")
    yield* look(one, gateway, true)
  }).pipe(Effect.scoped)

/** What all worlds of a run have in common. */
interface Course {
  readonly bundle: Bundle
  readonly kills: number
  readonly patience: number
  readonly pace: number
  readonly agents: "real" | "stand-in"
  /** When there is no more time for kills. */
  readonly until: number
}

/** One world through its kills, as long as there is time. */
const lives = Effect.fnUntraced(function* (
  folder: string,
  seed: number,
  { agents, bundle, kills, pace, patience, until }: Course
): Effect.fn.Return<Life, Ended | Unanswered, Scope.Scope> {
  const random = randomOf(seed)
  const fates = unkind(randomOf(seed + 1), 40)
  const habits = { pause: 250, ...(agents === "real" ? habitsOfReal : habitsOf(seed)) }
  const agent = { turnTimeout: "60 seconds" }
  // In every second world what takes long is ended before its answer is there.
  const awaitOrphan = seed % 2 === 0 ? "3 seconds" : "300 millis"
  const made = { bundle, seed, folder, fates, habits, agent, agents, awaitOrphan, configuration }
  const telegramFates = unkindTelegram(randomOf(seed + 2), 40)
  const bot =
    agents === "real" ? {} : { telegram: bots[seed % bots.length] ?? { delivery: "edit" as const }, telegramFates }
  const world = yield* World.make({ ...made, ...bot })
  const died = { load: 0, boot: 0, stop: 0, reload: 0 }
  const one: Life = { world, people: yield* world.people, random, strange: [], died, patience, pace, agents, slow: 1 }
  while (sum(died) < kills && (yield* Clock.currentTimeMillis) < until) yield* life(one, momentOf(random))
  const stopping = agents === "real" ? stopsOfReal : stopsOf(seed)
  for (const stop of stopping) yield* wholeStop(one, stop)
  yield* settle(one)
  return one
})

/** A world whose history is kept when it shows a broken promise, and deleted when it does not. */
const judged = Effect.fnUntraced(function* (tally: Tally.Tally, seed: number, course: Course) {
  const folder = mkdtempSync(join(tmpdir(), `sluice-L2-${seed}-`))
  const remove = Effect.sync(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  const exit = yield* Effect.exit(Effect.scoped(lives(folder, seed, course)))
  if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    return yield* Effect.andThen(remove, Effect.interrupt)
  const strange = Exit.isSuccess(exit) ? exit.value.strange : [Cause.pretty(exit.cause)]
  const broken = yield* Tally.judge(tally, { history: join(folder, "history.jsonl"), seed, strange })
  if (broken === 0) yield* remove
  return Exit.isSuccess(exit) ? exit.value.died : undefined
})

/** One world after the other. Completes when there is no more time, or fails to end the others with the first broken promise. */
const lane = Effect.fnUntraced(function* (
  budget: Budget,
  tally: Tally.Tally,
  course: Course,
  died: Record<Moment, number>,
  seeds: Iterator<number>
) {
  while ((yield* Clock.currentTimeMillis) < course.until) {
    const seed = seeds.next()
    if (seed.done === true) return
    const found = yield* judged(tally, seed.value, course)
    for (const moment of moments) died[moment] += found?.[moment] ?? 0
    budget.progress(`world ${seed.value}: ${Tally.line(tally)}`)
    if (budget.stopAtFirst && tally.violations.length > 0) return yield* Effect.fail("enough" as const)
  }
})

/** Runs worlds until the time is over. */
export const run = (budget: Budget, changes: Partial<Plan> = {}): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const { agents = "stand-in", millis, seed, stopAtFirst } = budget
    const chosen = { ...plan, ...(agents === "real" ? planOfReal : {}), ...changes }
    const { backlogs, beside, kills, pace, worlds } = chosen
    const bundle = yield* bundled
    const tally = Tally.make("L2")
    if (agents === "real" && !areInstalled) {
      tally.notes.push("the real programs are not installed, nothing was run: `node scripts/agents.mjs`")
      return Tally.verdict(tally)
    }
    const until = (yield* Clock.currentTimeMillis) + millis
    const course = { agents, bundle, kills, pace, until, patience: stopAtFirst ? 30_000 : 90_000 }
    const died = { load: 0, boot: 0, stop: 0, reload: 0 }
    const seeds = (function* () {
      for (let next = 0; next < worlds; next++) yield seed + next
    })()
    const lanes = Array.from({ length: beside }, () => lane(budget, tally, course, died, seeds))
    yield* Effect.ignore(Effect.all(lanes, { concurrency: "unbounded", discard: true }))
    tally.notes.push(`kills: ${moments.map((moment) => `${died[moment]} in ${words[moment]}`).join(", ")}`)
    if (millis >= longRun && backlogs !== undefined && tally.violations.length === 0) {
      Tally.addTimes(tally.times, yield* Effect.orDie(bootTimes(bundle, backlogs)))
    }
    return Tally.verdict(tally)
  }).pipe(Effect.scoped)
