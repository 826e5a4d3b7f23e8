/**
 * A store with its tables, as every history of this thread begins with. The tables
 * are the product's own: a boot makes them, and is forgotten.
 */
import { Journal } from "@sluice/runtime/Journal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Store } from "./store.ts"

/** Ids of replies contain the store's name, which is drawn at its first opening: here it is always the same. */
const named = `insert into sluice_meta (key, value) values ('instance', 'simulation')`

/** Gives a store its tables. */
export const open = Effect.fnUntraced(function* <S extends Store>(store: S): Effect.fn.Return<S> {
  const client = store.client({ dead: () => false, mishap: () => undefined, die: () => {} })
  yield* Effect.orDie(Effect.scoped(Layer.build(Journal.layer(client, { lock: Layer.empty }))))
  store.keepTables(named)
  return store
})

export const openStore: Effect.Effect<Store> = Effect.suspend(() => open(new Store()))
