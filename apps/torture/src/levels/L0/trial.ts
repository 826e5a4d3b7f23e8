/**
 * One history and its judgement. The judge is the checker that all levels have; it
 * is given what a file of this history would hold. What breaks a promise is made
 * smaller by leaving steps out for as long as the same promise breaks.
 */
import type { Broken, CheckerVerdict } from "../../checker/Findings.ts"
import { judge } from "../../checker/judge.ts"
import { narrowPlanOf, type Plan, planOf, silentPlanOf, steeringPlanOf, widePlanOf } from "./plan.ts"
import { type Played, play } from "./simulate.ts"
import type { Store } from "./store.ts"

/** A history as it was played and as it was judged. */
export interface Trial {
  readonly plan: Plan
  readonly played: Played
  readonly verdict: CheckerVerdict
}

/** Plays a plan and judges what came of it. */
export const tryPlan = (plan: Plan, store: Store): Trial => {
  const played = play(plan, store)
  const lines = played.history.operations.map((operation, index) => ({ line: index + 1, operation }))
  const verdict = judge(`seed ${plan.seed}`, { lines, torn: [] })
  return { plan, played, verdict: { ...verdict, broken: [...verdict.broken, ...restless(played)] } }
}

/** What never comes to rest gives no message its end, whoever of those in this history has one already. */
const restless = ({ history, stuck }: Played): ReadonlyArray<Broken> =>
  stuck === undefined
    ? []
    : [{ invariant: "I1", ids: [], lines: [history.operations.length], what: `nothing comes to rest: ${stuck}` }]

/** Plays the plan of a seed. */
export const trySeed = (seed: number, store: Store): Trial => tryPlan(planOf(seed), store)

/** The same without what was added to plans later. */
export const tryNarrow = (seed: number, store: Store): Trial => tryPlan(narrowPlanOf(seed), store)

/** The same with it. */
export const tryWide = (seed: number, store: Store): Trial => tryPlan(widePlanOf(seed), store)

/** The same, steered. */
export const trySteered = (seed: number, store: Store): Trial => tryPlan(steeringPlanOf(seed), store)

/** The same, by agents that say late what they took. */
export const trySilent = (seed: number, store: Store): Trial => tryPlan(silentPlanOf(seed), store)

/** The promises that it broke. */
const brokenBy = ({ verdict }: Trial): ReadonlySet<string> => new Set(verdict.broken.map(({ invariant }) => invariant))

/**
 * A plan with fewer steps that breaks one of the same promises. At most 200 more histories are played for it, and none
 * once `isLate`: one that never comes to rest takes long.
 */
export const shrink = (trial: Trial, store: Store, isLate: () => boolean = () => false): Trial => {
  const wanted = brokenBy(trial)
  let best = trial
  let left = 200
  for (let size = Math.ceil(best.plan.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let from = 0; from < best.plan.steps.length && left > 0 && !isLate();) {
      left--
      const { steps } = best.plan
      const dropped = steps.slice(from, from + size)
      const next = steps[from + size]
      // What comes behind stays where it is in time.
      const moved = dropped.reduce((sum, { after }) => sum + after, next?.after ?? 0)
      const rest = next === undefined ? [] : [{ ...next, after: moved }, ...steps.slice(from + size + 1)]
      const fewer = tryPlan({ ...best.plan, steps: [...steps.slice(0, from), ...rest] }, store)
      if ([...brokenBy(fewer)].some((invariant) => wanted.has(invariant))) best = fewer
      else from += size
    }
  }
  return best
}
