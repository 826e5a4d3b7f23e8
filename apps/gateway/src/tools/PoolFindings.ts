/**
 * What `sluice doctor` finds out about pools of models: whether their servers answer, take the key and know the model, whether their
 * programs are there, and whether their secrets can be read by nobody else. It starts none of them.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { isLoopback } from "../configuration/Checks.ts"
import type { OpenAi } from "../configuration/Pools.ts"
import { problemText } from "../configuration/Problem.ts"
import type { Loaded } from "../configuration/Sources.ts"
import * as Programs from "../agents/Programs.ts"
import * as Pools from "../pools/Pools.ts"
import type { Finding } from "./Findings.ts"

/** How long a server may take to answer. */
const patience = "5 seconds"

/** Where a server answers what a pool is asked for. */
const endpoints = {
  "text-embedding": "/embeddings",
  "image-embedding": "/embeddings",
  "text-generation": "/chat/completions",
  vision: "/chat/completions",
  "image-generation": "/images/generations"
} as const

/**
 * What a server says that has nothing at its address: it is there, and a worker that loads is content with that, as not every
 * one lists its models. One that has no place for requests either is asked at a wrong address.
 */
const astray = Effect.fnUntraced(function* (recipe: Pools.Recipe, settings: OpenAi, place: number) {
  const { statusOf } = yield* Effect.promise(() => import("../pools/Workers.ts"))
  const health = settings.health ?? "/models"
  if (health === "none") return undefined
  for (const path of [health, endpoints[settings.capability]]) {
    const status = yield* Effect.orElseSucceed(
      Effect.timeoutOption(statusOf(recipe, settings, path, place), patience),
      Option.none
    )
    if (Option.isNone(status) || status.value !== 404) return undefined
  }
  return `has nothing at ${health}, nor at ${endpoints[settings.capability]} (404)`
})

/** The servers of one pool. A worker that loads has found its server there and willing. */
const servers = Effect.fnUntraced(function* (
  recipe: Pools.Recipe,
  settings: OpenAi
): Effect.fn.Return<ReadonlyArray<Finding>> {
  const name = `pool ${recipe.name}`
  const { loadsOf, urlsOf } = yield* Effect.promise(() => import("../pools/Workers.ts"))
  const loads = yield* loadsOf(recipe, Effect.never)
  const urls = urlsOf(settings)
  const { reach } = yield* Effect.promise(() => import("../agents/ModelAgent.ts"))
  /** What a server that lists its models says of this one; a path of one's own lists none. */
  const stranger = (url: string): Effect.Effect<string | undefined> =>
    settings.health === undefined
      ? reach({
          api: "openai",
          url,
          model: settings.model,
          ...(recipe.key === undefined ? {} : { key: recipe.key })
        }).pipe(Effect.match({ onSuccess: () => undefined, onFailure: (sentence) => sentence }))
      : Effect.succeed(undefined)
  return yield* Effect.forEach(
    urls,
    Effect.fnUntraced(function* (url, place): Effect.fn.Return<Finding> {
      const loading: Effect.Effect<unknown, { readonly message: string }, Scope.Scope> =
        loads[settings.capability]()(place)
      const found = yield* loading.pipe(
        Effect.scoped,
        Effect.timeoutOrElse({
          duration: patience,
          orElse: () => Effect.fail({ message: `${url} does not answer within ${patience}, or still loads its model` })
        }),
        Effect.result
      )
      const { host, hostname, protocol } = new URL(url)
      const answers = settings.health === "none" ? `${host}, which is not asked (health: none)` : `${host} answers`
      if (found._tag === "Failure") {
        const remedy = "start it or correct its address and key; requests fail until it answers"
        return { name, state: "fail", detail: found.failure.message, remedy }
      }
      const nothing = yield* astray(recipe, settings, place)
      if (nothing !== undefined) {
        return {
          name,
          state: "warn",
          detail: `${host} answers, but ${nothing} below ${url}`,
          remedy: "correct the path in its address, which often ends with /v1; an address without one gets that"
        }
      }
      const unknown = yield* stranger(url)
      if (unknown !== undefined) {
        return {
          name,
          state: "warn",
          detail: unknown,
          remedy: "load it there (ollama pull), or correct its name in model"
        }
      }
      const open = recipe.key !== undefined && protocol === "http:" && !isLoopback(hostname)
      return open
        ? {
            name,
            state: "warn",
            detail: `${answers}, over a connection that anybody on the way can read, the key included`,
            remedy: "use https"
          }
        : { name, state: "ok", detail: answers }
    }),
    { concurrency: "unbounded" }
  )
})

/** A line or more for each pool. */
export const pools = Effect.fnUntraced(function* (loaded: Loaded): Effect.fn.Return<ReadonlyArray<Finding>> {
  const plan = yield* Effect.result(Pools.decide(loaded))
  if (plan._tag === "Failure") {
    return plan.failure.problems.map((problem) => ({ name: "pools", state: "fail", detail: problemText(problem) }))
  }
  const found = yield* Effect.forEach(
    plan.success.recipes,
    (recipe): Effect.Effect<ReadonlyArray<Finding>> => {
      const { name, settings } = recipe
      if (settings.kind === "openai") return servers(recipe, settings)
      const place = Programs.ofPool(settings, loaded.folder)
      return Effect.succeed([
        place.found === undefined
          ? { name: `pool ${name}`, state: "fail", detail: place.problem, remedy: place.remedy }
          : { name: `pool ${name}`, state: "ok", detail: place.found }
      ])
    },
    { concurrency: "unbounded" }
  )
  return found.flat()
})
