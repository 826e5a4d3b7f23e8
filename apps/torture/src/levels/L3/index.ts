/**
 * Level 3: faults of the machine, the network, the agents and the people around a real
 * gateway. Every fault is a small declared scenario; the short form runs each of them
 * once, a few worlds beside each other, the long form goes on with random choices in
 * new worlds until the budget is used up. What this machine can't do is said in a line.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { bundled } from "../../world/bundle.ts"
import { type Random, randomOf } from "../../world/random.ts"
import { added } from "../../checker/agents.ts"
import type { Agents, Budget, Verdict } from "../Level.ts"
import { agents } from "./faults/agents.ts"
import { clocks } from "./faults/clocks.ts"
import { disk } from "./faults/disk.ts"
import { canLock, folders } from "./faults/folders.ts"
import { locks } from "./faults/locks.ts"
import { network } from "./faults/network.ts"
import { pauses } from "./faults/pauses.ts"
import { races } from "./faults/races.ts"
import { canLimit, canMount, exhaustion, fullDisk, memory } from "./faults/spaces.ts"
import { supervisors } from "./faults/supervisors.ts"
import type { Group, Scenario } from "./Scenario.ts"
import * as Shim from "./Shim.ts"
import { type Outcome, run as runTrial, type Step } from "./trial.ts"

/** All of them. The longest first, so that the worlds end together. */
export const groups: ReadonlyArray<Group> = [
  disk,
  network,
  agents,
  supervisors,
  pauses,
  clocks,
  folders,
  locks,
  races,
  fullDisk,
  memory,
  exhaustion
]

/** Worlds at a time, on two cores. */
const beside = 3
/** A run that is given less than this has the short form. */
const shortMillis = 120_000

const shuffled = <A>(random: Random, list: ReadonlyArray<A>): ReadonlyArray<A> => {
  const left = [...list]
  const out: Array<A> = []
  while (left.length > 0) out.push(...left.splice(Math.floor(random() * left.length), 1))
  return out
}

/** What this machine can do, and a line for each thing that it can't. */
interface Means {
  readonly library: string | undefined
  readonly notes: ReadonlyArray<string>
  readonly able: (what: Pick<Group | Scenario, "needs">) => boolean
}

const means = (): Means => {
  const compiled = Shim.compile()
  const mount = canMount()
  const limit = canLimit()
  const notes: Array<string> = []
  if ("missing" in compiled)
    notes.push(`L3: ${compiled.missing}: no errors of disks and clocks, only a full disk, and no races`)
  if (!mount) notes.push("L3: no file system can be mounted here: no disk that is really full")
  if (!limit) notes.push("L3: there is no prlimit here: no gateway that is refused memory in the middle of its work")
  const lock = canLock(mount)
  if (!lock) notes.push("L3: root can't be kept from writing here: no state directory that becomes read-only")
  const library = "library" in compiled ? compiled.library : undefined
  const has = { shim: library !== undefined, mount, limit, line: true, lock }
  return { library, notes, able: ({ needs = [] }) => needs.every((need) => has[need]) }
}

/** One world to be: a group, and which of its faults in which order, some of them at once. */
interface Plan {
  readonly group: Group
  readonly steps: ReadonlyArray<Step>
  readonly seed: number
}

const once = (all: ReadonlyArray<Group>, long: boolean, seed: number): ReadonlyArray<Plan> =>
  all.map((group, index) => {
    const random = randomOf(seed + index)
    const scenarios = shuffled(random, group.scenarios).filter((scenario) => long || scenario.long !== true)
    return { group, steps: scenarios.map((scenario) => [scenario]), seed: seed + index }
  })

const some = <A>(random: Random, list: ReadonlyArray<A>, count: number): ReadonlyArray<A> =>
  Array.from({ length: count }, () => list[Math.floor(random() * list.length)]).filter((one) => one !== undefined)

/** A ground that both groups' faults can take place on. */
const joined = (one: Group, other: Group): Group => ({
  name: `${one.name} + ${other.name}`,
  needs: [...one.needs, ...other.needs],
  prepare: Effect.zipWith(one.prepare, other.prepare, (first, second) => {
    const [a, b] = [first.options ?? {}, second.options ?? {}]
    const guests = [...(a.habits?.guests ?? ["sam"]), ...(b.habits?.guests ?? ["sam"])]
    return {
      boot: { ...first.boot, ...second.boot, environment: { ...first.boot?.environment, ...second.boot?.environment } },
      options: {
        ...a,
        ...b,
        agent: { ...a.agent, ...b.agent },
        configuration: { ...a.configuration, ...b.configuration },
        habits: { guests: [...new Set(guests)], agents: { ...a.habits?.agents, ...b.habits?.agents } }
      }
    }
  }),
  scenarios: [...one.scenarios, ...other.scenarios]
})

/** Whatever else happens, it ends no gateway and can be suffered beside another fault. */
const isPatient = ({ alone, expects }: Scenario): boolean => alone !== true && expects.ends.length === 0

/** Some faults of a group, also the same one again; or some of two groups, two at a time. */
const randomPlan = (all: ReadonlyArray<Group>, seed: number): Plan => {
  const random = randomOf(seed)
  const [one = disk, other] = shuffled(random, all)
  const count = 1 + Math.floor(random() * 2 * one.scenarios.length)
  const patient = other?.scenarios.filter(isPatient) ?? []
  if (other === undefined || patient.length === 0 || random() < 0.4) {
    return { group: one, steps: some(random, one.scenarios, count).map((scenario) => [scenario]), seed }
  }
  const beside = some(random, patient, count)
  const steps = some(random, one.scenarios, count).map((scenario, index): Step => {
    const second = beside[index]
    return scenario.alone === true || second === undefined ? [scenario] : [scenario, second]
  })
  return { group: joined(one, other), steps, seed }
}

const zero = { lost: 0, sent: 0, acknowledged: 0, kills: 0, orderFaults: 0 }

/** Adds up what the worlds saw. */
const verdictOf = (outcomes: ReadonlyArray<Outcome>, notes: ReadonlyArray<string>): Verdict => {
  const duplicated: Record<string, number> = {}
  const times: Record<string, Array<number>> = {}
  const sum = { ...zero }
  let agents: Agents = {}
  let runs = 0
  for (const { group, recovered, struck, verdict } of outcomes) {
    runs += struck
    // Of two faults at once nobody knows which one it took longer to get over.
    const kind = group.includes(" + ") ? "two faults at once" : group
    ;(times[`${kind}: mended to accepted`] ??= []).push(...recovered)
    if (verdict === undefined) continue
    agents = added(agents, verdict.agents)
    for (const key of Object.keys(zero) as ReadonlyArray<keyof typeof zero>) sum[key] += verdict[key]
    for (const [name, count] of Object.entries(verdict.duplicated)) duplicated[name] = (duplicated[name] ?? 0) + count
    for (const [name, all] of Object.entries(verdict.times)) (times[name] ??= []).push(...all)
  }
  const violations = outcomes.flatMap((outcome) => outcome.violations)
  return { level: "L3", runs, ...sum, agents, duplicated, times, violations, notes }
}

/** Runs the level. */
export const run = Effect.fnUntraced(function* (budget: Budget): Effect.fn.Return<Verdict, never, Scope.Scope> {
  const began = performance.now()
  const left = () => budget.millis - (performance.now() - began)
  const long = budget.millis >= shortMillis
  const { able, library, notes } = yield* Effect.sync(means)
  for (const note of notes) budget.progress(note)
  const possible = groups.filter(able).map((group) => ({ ...group, scenarios: group.scenarios.filter(able) }))
  const bundle = yield* bundled
  const outcomes: Array<Outcome> = []
  const over = () => budget.stopAtFirst && outcomes.some(({ violations }) => violations.length > 0)
  const one = (plan: Plan) =>
    Effect.suspend(() => {
      if (over()) return Effect.void
      const options = { bundle, seed: plan.seed, long, ...(library === undefined ? {} : { library }) }
      return Effect.map(runTrial(plan.group, plan.steps, options, budget.progress), (outcome) => {
        outcomes.push(outcome)
        for (const { history, invariant, what } of outcome.violations) {
          budget.progress(`L3 ${plan.group.name}, seed ${plan.seed}: ${invariant}: ${what} (${history})`)
        }
      })
    })
  yield* Effect.forEach(once(possible, long, budget.seed), one, { concurrency: beside, discard: true })
  let next = budget.seed + groups.length
  const worker = Effect.whileLoop({
    while: () => long && left() > 0 && !over(),
    body: () => one(randomPlan(possible, next++)),
    step: () => {}
  })
  yield* Effect.all(
    Array.from({ length: beside }, () => worker),
    { concurrency: beside, discard: true }
  )
  return verdictOf(outcomes, notes)
}, Effect.scoped)
