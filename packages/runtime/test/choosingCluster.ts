/**
 * A cluster of two runners in one process, over a storage that they share: what
 * the table of tools compares a second gateway with. Each says where an entity
 * lives by the port that it was given.
 */
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as Entity from "effect/cluster/Entity"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"

const Where = Rpc.make("Where", { success: Schema.Int }).annotate(ClusterSchema.Persisted, true)
const Home = Entity.make("Home", [Where])

/** On which runner each of these lives. */
export const whereAre = Effect.fnUntraced(function* (names: ReadonlyArray<string>) {
  const home = yield* Home.client
  return yield* Effect.forEach(names, (name) => home(name).Where(), { concurrency: "unbounded" })
})

const sharding = (port: number) =>
  ShardingConfig.layer({ runnerAddress: Option.some(RunnerAddress.make("localhost", port)), shardsPerGroup: 20 })

/** What the runners of a cluster share. */
export const cluster = Layer.mergeAll(
  MessageStorage.layerMemory,
  RunnerStorage.layerMemory,
  RunnerHealth.layerNoop
).pipe(Layer.provide(sharding(0)))

/** One runner of a cluster, as a process of its own would be. */
export const runner = (shared: Context.Context<Layer.Success<typeof cluster>>, port: number) =>
  Home.toLayer({ Where: () => Effect.succeed(port) }).pipe(
    Layer.provideMerge(Layer.fresh(Sharding.layer)),
    Layer.provide(Layer.fresh(Runners.layerNoop)),
    Layer.provide(sharding(port)),
    Layer.provide(Layer.succeedContext(shared))
  )
