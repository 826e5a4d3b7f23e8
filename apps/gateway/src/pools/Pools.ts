/**
 * The pools of the program: what the configuration wants of them, decided before anything is opened, and the one place
 * where everybody else finds those that are open (routes, agents, tools). Without `pools:` nothing of them is loaded.
 */
import type { Model } from "@sluice/pools/Routes"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { isSame, keyOf, secretsOf } from "../agents/Agents.ts"
import { modelsOf } from "../configuration/ModelAgents.ts"
import type { Pool } from "../configuration/Pools.ts"
import { ConfigurationError, type Problem } from "../configuration/Problem.ts"
import type { Loaded } from "../configuration/Sources.ts"
import type { OpenPools } from "./OpenPools.ts"
import * as Orphans from "./Orphans.ts"

/** What a pool is made from. */
export interface Recipe {
  readonly name: string
  readonly settings: Pool
  /** Names by which clients ask for it. */
  readonly models: ReadonlyArray<string>
  /** Where programs run unless they say otherwise. */
  readonly folder: string
  readonly key: Redacted.Redacted | undefined
  /** Variables of a program whose values are secrets. */
  readonly hidden: { readonly [variable: string]: Redacted.Redacted }
  /** Its configuration as text, and every secret: a pool of which both are as before is left alone by a reload. */
  readonly text: string
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

/** What the configuration wants. */
export interface Plan {
  readonly recipes: ReadonlyArray<Recipe>
  /** Every secret that a pool was given, to be kept out of the log. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

const recipeOf = Effect.fnUntraced(function* (
  name: string,
  settings: Pool,
  loaded: Loaded
): Effect.fn.Return<Recipe, ConfigurationError> {
  const place = ["pools", name] as const
  const key = settings.kind === "openai" ? yield* keyOf(place, settings, loaded) : undefined
  const hidden = "secrets" in settings ? yield* secretsOf(place, settings.secrets ?? {}, loaded) : {}
  const secrets = [...(key === undefined ? [] : [key]), ...Object.values(hidden)]
  const { folder } = loaded
  const text = JSON.stringify([settings, folder])
  return { name, settings, models: modelsOf(name, settings), folder, key, hidden, text, secrets }
})

/** Reads what the configuration wants, secrets too. What is wrong is told of all pools at once. */
export const decide = Effect.fnUntraced(function* (loaded: Loaded): Effect.fn.Return<Plan, ConfigurationError> {
  const recipes: Array<Recipe> = []
  const problems: Array<Problem> = []
  for (const [name, settings] of Object.entries(loaded.configuration.pools)) {
    const result = yield* Effect.result(recipeOf(name, settings, loaded))
    if (result._tag === "Success") recipes.push(result.success)
    else problems.push(...result.failure.problems)
  }
  if (problems.length > 0) return yield* new ConfigurationError({ problems })
  return { recipes, secrets: recipes.flatMap(({ secrets }) => secrets) }
})

/** Whether a pool is configured as it was. */
export const isUnchanged = (one: Recipe, other: Recipe): boolean => isSame(one, other)

/** Where the open pools are; empty until a configuration names one. */
export interface Pools {
  opened: OpenPools | undefined
  readonly orphans: Orphans.Orphans
}

/** None yet. `record` is the file that says whether programs were ever started for any. */
export const make = (record?: string): Pools => ({ opened: undefined, orphans: Orphans.make(record) })

/** What serves a model that clients ask for by this name. Look it up for each request: a reload exchanges it. */
export const find = ({ opened }: Pools, model: string): Model | undefined => opened?.find(model)

/** The bounds that all pools share. */
export interface Bounds {
  /** Share of the memory that all workers may take together. */
  readonly memory: number
  /** Bytes of the largest request. */
  readonly bodyLimit: number
  /** Bytes of all requests that are here at one time. */
  readonly bodiesLimit: number
  /** How long nothing of a request's body may come. */
  readonly bodyStall: Duration.Input
}

/** Opens what a plan wants and lets go of what it no longer wants; the lines say what has changed. Needs the scope that the pools live in. */
export const apply = Effect.fnUntraced(function* (
  pools: Pools,
  plan: Plan,
  bounds: Bounds
): Effect.fn.Return<ReadonlyArray<string>, never, Scope.Scope> {
  yield* pools.orphans.look(plan)
  if (pools.opened === undefined) {
    if (plan.recipes.length === 0) return []
    const { open } = yield* Effect.promise(() => import("./OpenPools.ts"))
    pools.opened = yield* open(bounds)
  }
  return yield* pools.opened.apply(plan)
})
