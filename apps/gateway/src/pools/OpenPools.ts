/**
 * The pools that are open, under one governor of memory. A reload makes what is new or configured differently and lets
 * go of the old one, which finishes what it has in a scope of its own; the others are not touched. In a stop all of them
 * are drains of the shutdown program, those that were let go of too.
 */
import * as Capabilities from "@sluice/pools/Capabilities"
import { Governor } from "@sluice/pools/Governor"
import * as Pool from "@sluice/pools/Pool"
import * as Routes from "@sluice/pools/Routes"
import type { Drain } from "@sluice/runtime/Shutdown"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { input } from "../agents/Agents.ts"
import { Counter, counting, type ModelFigures } from "./Figures.ts"
import { scrapeOf } from "./PoolMetrics.ts"
import { type Bounds, isUnchanged, type Plan, type Recipe } from "./Pools.ts"
import { given, type Loads, loadsOf } from "./Workers.ts"

/** How one pool is, at one moment. */
export interface PoolState extends Pool.Status {
  readonly kind: Recipe["settings"]["kind"]
  readonly models: ReadonlyArray<ModelFigures & { readonly name: string }>
  /** A reload has let go of it: it finishes what it has. */
  readonly leaving: boolean
}

/** All pools, at one moment. */
export interface PoolStates {
  readonly pools: ReadonlyArray<PoolState>
  /** Bytes that are booked for all workers, and that may be. */
  readonly memory: { readonly used: number; readonly limit: number }
}

/** The open pools of a program. */
export interface OpenPools {
  /** What serves a model that clients ask for by this name. */
  readonly find: (model: string) => Routes.Model | undefined
  readonly states: Effect.Effect<PoolStates>
  /** The same as Prometheus reads it. */
  readonly scrape: Effect.Effect<string>
  /** What answers the routes for OpenAI's clients. */
  readonly answers: ReturnType<typeof Routes.answers>
  /** Opens what a plan wants and lets go of what it no longer wants. In a stop it changes nothing. */
  readonly apply: (plan: Plan) => Effect.Effect<ReadonlyArray<string>>
  /** The pools as the shutdown program drains them, each with this budget. Asked when a stop begins. */
  readonly drains: (budget: Duration.Input) => ReadonlyArray<Drain>
  /** From now on workers that are to end have no more time. */
  readonly hurry: Effect.Effect<void>
}

interface Entry {
  readonly recipe: Recipe
  readonly model: Routes.Model
  readonly scope: Scope.Closeable
}

const optionsOf = ({ name, settings }: Recipe) => {
  const { queue, queuePerCaller: queuePerKey, requestTimeout, stallTimeout, workers = {} } = settings
  const { concurrency, idle, loadTimeout, max, memory, min, start } = workers
  const span = (text: string | undefined) => (text === undefined ? undefined : input(text))
  return {
    name,
    workers: given({ start, min, max, concurrency, memory, cooldown: span(idle), loadTimeout: span(loadTimeout) }),
    ...given({ queue, queuePerKey, requestTimeout: span(requestTimeout), stallTimeout: span(stallTimeout) })
  }
}

const modelOf = (recipe: Recipe, loads: Loads): Effect.Effect<Routes.Model, never, Scope.Scope | Governor> => {
  const options = { ...optionsOf(recipe), ...given({ probe: loads.probe }) }
  const { capability: name } = recipe.settings
  switch (name) {
    case "text-embedding":
      return Effect.map(
        Pool.make({ ...options, capability: Capabilities.textEmbedding, load: loads[name]() }),
        (pool) => ({ capability: name, pool })
      )
    case "image-embedding":
      return Effect.map(
        Pool.make({ ...options, capability: Capabilities.imageEmbedding, load: loads[name]() }),
        (pool) => ({ capability: name, pool })
      )
    case "text-generation":
      return Effect.map(
        Pool.make({ ...options, capability: Capabilities.textGeneration, load: loads[name]() }),
        (pool) => ({ capability: name, pool })
      )
    case "vision":
      return Effect.map(Pool.make({ ...options, capability: Capabilities.vision, load: loads[name]() }), (pool) => ({
        capability: name,
        pool
      }))
    case "image-generation":
      return Effect.map(
        Pool.make({ ...options, capability: Capabilities.imageGeneration, load: loads[name]() }),
        (pool) => ({ capability: name, pool })
      )
  }
}

/** By then every request of a pool has ended by itself. */
const patienceOf = ({ settings }: Recipe): Duration.Duration => {
  const { capability, requestTimeout } = settings
  const timeout = requestTimeout === undefined ? Capabilities.all[capability].requestTimeout : input(requestTimeout)
  return Duration.sum(Duration.fromInputUnsafe(timeout), Duration.seconds(1))
}

const fixedPort = ({ settings }: Recipe): number | undefined => (settings.kind === "server" ? settings.port : undefined)

/** That it has changed, and what its servers wait for: a port is free when the old one has ended. */
const changed = (recipe: Recipe, old: Entry): Effect.Effect<string> =>
  Effect.map(old.model.pool.status, ({ running, waiting }) => {
    const line = `pool ${recipe.name} has changed`
    const [count, port] = [running + waiting, fixedPort(recipe)]
    if (count === 0 || port === undefined || port !== fixedPort(old.recipe)) return line
    const requests = count === 1 ? "a request has" : `${count} requests have`
    return `${line}; its server waits for port ${port}, which the old one has until ${requests} ended`
  })

/** Opens none yet, in the scope in which all of them live. */
export const open = Effect.fnUntraced(function* (bounds: Bounds): Effect.fn.Return<OpenPools, never, Scope.Scope> {
  const scope = yield* Scope.fork(yield* Scope.Scope, "parallel")
  const governor = yield* Layer.buildWithScope(Governor.layer({ share: bounds.memory }), scope)
  const { limit, used } = Context.get(governor, Governor)
  const closing = Deferred.makeUnsafe<void>()
  const hurried = Deferred.makeUnsafe<void>()
  const counters = new Map<string, Counter>()
  const leaving = new Set<Entry>()
  let entries = new Map<string, Entry>()
  let models: Routes.Models = {}
  let isStopping = false

  const counterOf = (pool: string, model: string): Counter => {
    const key = `${pool} ${model}`
    const counter = counters.get(key) ?? new Counter()
    counters.set(key, counter)
    return counter
  }

  const make = Effect.fnUntraced(function* (recipe: Recipe): Effect.fn.Return<Entry> {
    const own = yield* Scope.fork(scope)
    const loads = yield* loadsOf(recipe, Deferred.await(hurried))
    const model = yield* modelOf(recipe, loads).pipe(Effect.provideContext(governor), Scope.provide(own))
    return { recipe, model, scope: own }
  })

  /** Finishes what it has, then ends its workers. */
  const letGo = (entry: Entry) =>
    entry.model.pool
      .drain(patienceOf(entry.recipe))
      .pipe(
        Effect.andThen(entry.model.pool.interrupt),
        Effect.andThen(Scope.close(entry.scope, Exit.void)),
        Effect.ensuring(Effect.sync(() => leaving.delete(entry))),
        Effect.forkIn(scope)
      )

  const apply = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<ReadonlyArray<string>> {
    const next = new Map<string, Entry>()
    const lines: Array<string> = []
    for (const recipe of plan.recipes) {
      const old = entries.get(recipe.name)
      const same = old !== undefined && isUnchanged(recipe, old.recipe)
      if (!same) lines.push(old === undefined ? `pool ${recipe.name} is new` : yield* changed(recipe, old))
      next.set(recipe.name, same ? old : yield* make(recipe))
    }
    const gone = [...entries.values()].filter((entry) => next.get(entry.recipe.name) !== entry)
    const made = [...next.values()].filter((entry) => entries.get(entry.recipe.name) !== entry)
    // In one step with the look at the stop, whose drains are those that are here when it begins.
    if (isStopping) {
      yield* Effect.forEach(made, (entry) => Scope.close(entry.scope, Exit.void), { discard: true })
      return []
    }
    for (const { recipe } of gone) if (!next.has(recipe.name)) lines.push(`pool ${recipe.name} is gone`)
    for (const entry of gone) leaving.add(entry)
    entries = next
    models = Object.fromEntries(
      [...next.values()].flatMap(({ model, recipe }) =>
        recipe.models.map((name) => [name, counting(model, counterOf(recipe.name, name))])
      )
    )
    yield* Effect.forEach(gone, letGo, { discard: true })
    return lines
  })

  const stateOf = ({ model, recipe }: Entry, isLeaving: boolean): Effect.Effect<PoolState> =>
    Effect.map(model.pool.status, (status) => ({
      ...status,
      kind: recipe.settings.kind,
      models: recipe.models.map((name) => ({ name, ...counterOf(recipe.name, name).figures })),
      leaving: isLeaving
    }))

  const drains = (budget: Duration.Input): ReadonlyArray<Drain> => {
    isStopping = true
    const close = Deferred.succeed(closing, undefined)
    return [...entries.values(), ...leaving].map((entry) => {
      const drain = Pool.toDrain(entry.model.pool, { timeout: budget })
      const name = `pool ${drain.name}${leaving.has(entry) ? " (as it was before)" : ""}`
      return { ...drain, name, interrupt: Effect.andThen(close, drain.interrupt) }
    })
  }

  const states = Effect.gen(function* () {
    const now = yield* Effect.forEach(entries.values(), (entry) => stateOf(entry, false))
    const old = yield* Effect.forEach(leaving, (entry) => stateOf(entry, true))
    return { pools: [...now, ...old], memory: { used: yield* used, limit } }
  })

  return {
    find: (model) => (Object.hasOwn(models, model) ? models[model] : undefined),
    states,
    scrape: Effect.map(states, scrapeOf),
    answers: Routes.answers({
      models: () => models,
      bodyLimit: bounds.bodyLimit,
      bodiesLimit: bounds.bodiesLimit,
      bodyStallTimeout: bounds.bodyStall,
      closing
    }),
    apply,
    drains,
    hurry: Effect.asVoid(Deferred.succeed(hurried, undefined))
  }
})
