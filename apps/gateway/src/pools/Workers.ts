/**
 * What makes the workers of each kind, for each capability. A new kind has its Schema in configuration/Pools.ts and its
 * case here; its module is loaded only by who configures it.
 */
import type * as Capabilities from "@sluice/pools/Capabilities"
import type { Worker } from "@sluice/pools/Capability"
import type { WorkerError } from "@sluice/pools/PoolError"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { input } from "../agents/Agents.ts"
import type * as Configuration from "../configuration/Pools.ts"
import { client } from "../OutgoingHttp.ts"
import type { Recipe } from "./Pools.ts"

/** Loads a worker into a scope; `place` is a number from 0 that no other worker of the pool has. */
export type Load<Q, A, P> = (place: number) => Effect.Effect<Worker<Q, A, P>, WorkerError, Scope.Scope>

type Chat<Q> = Load<Q, Capabilities.ChatAnswer, Capabilities.ChatPart>

/** What loads the workers of one pool, by the capability that it has. */
export interface Loads {
  readonly "text-embedding": () => Load<Capabilities.TextEmbeddingRequest, Capabilities.Vectors, never>
  readonly "image-embedding": () => Load<Capabilities.ImageEmbeddingRequest, Capabilities.Vectors, never>
  readonly "text-generation": () => Chat<Capabilities.TextRequest>
  readonly vision: () => Chat<Capabilities.VisionRequest>
  readonly "image-generation": () => Load<Capabilities.ImageRequest, Capabilities.Images, never>
  /** Succeeds when a worker would load now, where that can be told without loading one. */
  readonly probe?: Effect.Effect<void, WorkerError>
}

/** Fields without those that are not set. */
export const given = <T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }

/** Addresses of a pool's servers; the checks of the configuration see to it that there is one. */
export const urlsOf = ({ url, urls = [] }: Configuration.OpenAi): readonly [string, ...ReadonlyArray<string>] => {
  const [first = "", ...others] = url === undefined ? urls : [url]
  return [first, ...others]
}

/** What is loaded over HTTP, with the client of this program. */
const over =
  (context: Context.Context<HttpClient.HttpClient>) =>
  <Q, A, P>(
    load: (place: number) => Effect.Effect<Worker<Q, A, P>, WorkerError, HttpClient.HttpClient | Scope.Scope>
  ): Load<Q, A, P> =>
  (place) =>
    Effect.provideContext(load(place), context)

const optionsOf = (recipe: Recipe, settings: Configuration.OpenAi) => {
  const { health, maxBatch, model, workers } = settings
  return {
    urls: urlsOf(settings),
    model,
    ...given({ key: recipe.key, health: health === "none" ? (false as const) : health }),
    ...given({ concurrency: workers?.concurrency, maxBatch })
  }
}

/** The status with which the server of a place answers a GET at a path below its address. */
export const statusOf = Effect.fnUntraced(function* (
  recipe: Recipe,
  settings: Configuration.OpenAi,
  path: string,
  place: number
) {
  const OpenAi = yield* Effect.promise(() => import("@sluice/pools/OpenAi"))
  return yield* Effect.provideContext(OpenAi.status(optionsOf(recipe, settings), path, place), yield* client)
})

const openAi = Effect.fnUntraced(function* (recipe: Recipe, settings: Configuration.OpenAi) {
  const OpenAi = yield* Effect.promise(() => import("@sluice/pools/OpenAi"))
  const context = yield* client
  const http = over(context)
  const { imageShape: shape = "objects" } = settings
  const options = optionsOf(recipe, settings)
  return {
    "text-embedding": () => http(OpenAi.textEmbedding(options)),
    "image-embedding": () => http(OpenAi.imageEmbedding({ ...options, shape })),
    "text-generation": () => http(OpenAi.textGeneration(options)),
    vision: () => http(OpenAi.vision(options)),
    "image-generation": () => http(OpenAi.imageGeneration(options)),
    probe: Effect.provideContext(OpenAi.probe(options), context)
  } satisfies Loads
})

/** Variables that are handed on by name, and those of the configuration. */
const environmentOf = (
  settings: Configuration.Program | Configuration.Server,
  { hidden }: Recipe
): Readonly<Record<string, string>> => {
  const passed = (settings.environment ?? []).flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  const secrets = Object.entries(hidden).map(([name, secret]) => [name, Redacted.value(secret)] as const)
  return { ...Object.fromEntries(passed), ...settings.variables, ...Object.fromEntries(secrets) }
}

const servers = Effect.fnUntraced(function* (
  recipe: Recipe,
  settings: Configuration.Server,
  hurry: Effect.Effect<void>
) {
  const [OpenAi, Server] = yield* Effect.promise(() =>
    Promise.all([import("@sluice/pools/OpenAi"), import("@sluice/pools/Server")])
  )
  const http = over(yield* client)
  const { hangTimeout, health, host, imageShape: shape = "objects", maxBatch, model, port, workers = {} } = settings
  const [program = "", ...rest] = settings.argv
  const { concurrency, loadTimeout = "1 minute" } = workers
  const launch = {
    argv: [program, ...rest] as const,
    cwd: settings.cwd ?? recipe.folder,
    env: environmentOf(settings, recipe),
    // A little less than the pool waits, so that the error says how far it came.
    startTimeout: Duration.times(Duration.fromInputUnsafe(input(loadTimeout)), 0.9),
    hurry,
    ...given({ host, port, health, hangTimeout: hangTimeout === undefined ? undefined : input(hangTimeout) })
  }
  // It is healthy already: nothing is asked again.
  const at = (url: string) =>
    ({ urls: [url], model: model ?? recipe.name, health: false, ...given({ concurrency, maxBatch }) }) as const
  return {
    "text-embedding": () => http(Server.load(launch, (url) => OpenAi.textEmbedding(at(url)))),
    "image-embedding": () => http(Server.load(launch, (url) => OpenAi.imageEmbedding({ ...at(url), shape }))),
    "text-generation": () => http(Server.load(launch, (url) => OpenAi.textGeneration(at(url)))),
    vision: () => http(Server.load(launch, (url) => OpenAi.vision(at(url)))),
    "image-generation": () => http(Server.load(launch, (url) => OpenAi.imageGeneration(at(url))))
  } satisfies Loads
})

const programs = Effect.fnUntraced(function* (
  recipe: Recipe,
  settings: Configuration.Program,
  hurry: Effect.Effect<void>
) {
  const Program = yield* Effect.promise(() => import("@sluice/pools/Program"))
  const [program = "", ...rest] = settings.argv
  const at = (place: number) => (argument: string) => argument.replaceAll("{place}", String(place))
  const launch = {
    argv: (place: number) => [at(place)(program), ...rest.map(at(place))] as const,
    cwd: settings.cwd ?? recipe.folder,
    env: environmentOf(settings, recipe),
    hurry
  }
  return {
    "text-embedding": () => Program.textEmbedding(launch),
    "image-embedding": () => Program.imageEmbedding(launch),
    "text-generation": () => Program.textGeneration(launch),
    vision: () => Program.vision(launch),
    "image-generation": () => Program.imageGeneration(launch)
  } satisfies Loads
})

/** The checks of the configuration let nobody ask for it. */
const unable = (capability: string) => (): Load<unknown, never, never> => () =>
  Effect.die(new Error(`a thread does no ${capability}`))

const threads = Effect.fnUntraced(function* (settings: Configuration.Onnx, hurry: Effect.Effect<void>) {
  const Onnx = yield* Effect.promise(() => import("@sluice/pools/Onnx"))
  const { batch, device, dtype, folder, heap, library, maxBatch, maxTokens, normalize, pooling, threads } = settings
  const options = {
    folder,
    hurry,
    ...given({ dtype, device, threads, library, heap: heap === undefined ? undefined : Math.ceil(heap / 1024 ** 2) })
  }
  const items = given({ batch, maxBatch })
  return {
    "text-embedding": () => Onnx.textEmbedding({ ...options, ...items, ...given({ pooling, normalize }) }),
    "image-embedding": () => Onnx.imageEmbedding({ ...options, ...items }),
    "text-generation": () => Onnx.textGeneration({ ...options, ...given({ maxTokens }) }),
    vision: unable("vision"),
    "image-generation": unable("image-generation")
  } satisfies Loads
})

/** What loads the workers of a pool. `hurry` completes when those that are to end have no more time. */
export const loadsOf = (recipe: Recipe, hurry: Effect.Effect<void>): Effect.Effect<Loads> => {
  const { settings } = recipe
  switch (settings.kind) {
    case "openai":
      return openAi(recipe, settings)
    case "server":
      return servers(recipe, settings, hurry)
    case "program":
      return programs(recipe, settings, hurry)
    case "onnx":
      return threads(settings, hurry)
  }
}
