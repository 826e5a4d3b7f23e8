/**
 * Two owners: the lock of a store is lost by accident (somebody removed its file), and
 * a second gateway opens the store beside the first. The first one must notice at its
 * next write and end with 69, and whatever it was doing is the second one's.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { rmSync } from "node:fs"
import { join } from "node:path"
import type { Bundle } from "../../world/bundle.ts"
import * as World from "../../world/World.ts"
import { deeds } from "./deeds.ts"
import { arrived, finished, leave, type Lived } from "./lives.ts"

/** Its exit code. */
const fenced = 69
/** How long the first owner may take to notice, in milliseconds: its turn ends and wants to be settled long before. */
const noticesWithin = 15_000

/** One world, in which the second gateway comes while a turn of the first one runs. */
const meeting = Effect.fnUntraced(function* (
  bundle: Bundle,
  seed: number,
  bound: number
): Effect.fn.Return<Pick<Lived, "file" | "broken">, never, Scope.Scope> {
  const world = yield* World.make({ bundle, seed })
  const todo = deeds(world)
  const first = yield* world.boot()
  const { token, wire } = yield* arrived(world, first)
  const doing = yield* Effect.forkScoped(todo.parts(["long", "talk"]))
  yield* todo.runs("http/long")
  rmSync(join(world.stateDirectory, "journal.db.lock"))
  const second = yield* world.boot()
  yield* arrived(world, second)
  // Somebody still has the first one's address: it must not say yes to anything any more.
  const line = {
    op: "send",
    by: "client stray",
    channel: "http",
    conversation: "http/stray",
    id: "stray",
    n: 1
  } as const
  world.history.append({ ...line, phase: "invoke" })
  const asked = yield* Effect.option(
    wire.ask("/v1/conversations/stray/messages", { body: { text: "#stray hello" }, key: "stray", token })
  )
  const status = Option.match(asked, { onNone: () => 0, onSome: (answer) => answer.status })
  const yes = status === 202 || status === 200
  world.history.append({ ...line, phase: yes ? "ok" : "info", why: `status ${status}` })
  const ended = yield* Effect.timeoutOption(first.exited, noticesWithin)
  if (Option.isNone(ended)) yield* first.kill("being the first owner")
  const { code, signal } = yield* first.exited
  wire.close()
  const broken = [
    ...(status === 202 || status === 200
      ? ["I1 the first owner said yes to a message that the second one has not"]
      : []),
    ...(code === fenced ? [] : [`I6 the first owner was not stopped by the second: ${code ?? signal}`])
  ]
  yield* second.stop()
  leave(world)
  return { file: world.file, broken: [...broken, ...(yield* finished(world, todo, doing, bound))] }
})

/** The worlds of this part. */
export const owners = (bundle: Bundle, seed: number, bound: number) => [
  { name: "two owners", run: meeting(bundle, seed, bound) }
]
