// What a killed gateway leaves running: found at the next boot by marker, epoch and start time, and nothing else touched.
import { assert, describe, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Children from "../src/Children.ts"
import { follow } from "../src/internal/kin.ts"
import * as ProcessTable from "../src/internal/node/processTable.ts"
import { endLater, foreign, lives, node, programs, unique } from "./processes.ts"

const marked = (instance: string, epoch: number, turn = "t1") => ({
  [Agent.markerVariable]: Agent.formatMarker({ instance, epoch, session: 5, turn })
})

/** The same program under the same name for everybody: only its environment tells whose it is. */
const sleeper = ["/bin/sh", "-c", "echo $$; exec sleep 300"] as const

const startOf = (pid: number): number => ProcessTable.readOne(pid)?.start ?? 0

describe("orphans", () => {
  it.live(
    "Q16: what a gateway killed with -9 left behind is found with its turn, and ended although it ignores signals",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const instance = unique("orphans")
          const gateway = yield* Effect.promise(() =>
            import("node:child_process").then(({ spawnSync }) =>
              spawnSync(node, [`${programs}/gateway.ts`, instance, "3"], { stdio: "inherit" })
            )
          )
          assert.strictEqual(gateway.signal, "SIGKILL")
          const found = yield* Children.orphans({ instance, epoch: 4 })
          assert.deepStrictEqual(
            found.map(({ epoch, session, turn }) => ({ epoch, session, turn })),
            [{ epoch: 3, session: 7, turn: "stuck" }]
          )
          const [orphan] = found
          assert.isDefined(orphan)
          yield* endLater(orphan.pid)
          assert.isTrue(lives(orphan.pid))
          yield* orphan.reap
          assert.isFalse(lives(orphan.pid))
          assert.deepStrictEqual(yield* Children.orphans({ instance, epoch: 4 }), [])
        })
      )
  )

  it.live("Q16: a process of the same name, of another store, or of this boot is left alone", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const instance = unique("orphans")
        const ours = yield* foreign(sleeper, marked(instance, 1))
        const strangers = [
          yield* foreign(sleeper),
          yield* foreign(sleeper, marked("another store", 1)),
          yield* foreign(sleeper, marked(instance, 2)),
          yield* foreign(sleeper, marked(instance, 3)),
          yield* foreign(sleeper, { [Agent.markerVariable]: `${instance}/1` }),
          yield* foreign(sleeper, { [`NO_${Agent.markerVariable}`]: `${instance}/1/5/t1` }),
          yield* foreign(sleeper, { TEXT: `${Agent.markerVariable}=${instance}/1/5/t1` })
        ]
        const found = yield* Children.orphans({ instance, epoch: 2 })
        assert.deepStrictEqual(
          found.map(({ pid }) => pid),
          [ours.pid]
        )
        for (const orphan of found) yield* orphan.reap
        assert.isFalse(lives(ours.pid))
        assert.deepStrictEqual(
          strangers.filter(({ pid }) => !lives(pid)),
          []
        )
      })
    )
  )

  it.live("Q16: a number that was used again names somebody else: neither it nor its group is signalled", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const stranger = yield* foreign(["/bin/sh", "-c", "sleep 300 & echo $!; wait"])
        const grandchild = Number(stranger.said)
        // The orphan had this number and started earlier; it is gone, and its number and group are the stranger's now.
        const kin = follow({ root: { pid: stranger.pid, start: startOf(stranger.pid) - 1 }, marked: () => false })
        assert.deepStrictEqual(kin.look(), [])
        assert.deepStrictEqual(kin.signal("SIGKILL"), [])
        assert.isTrue(lives(stranger.pid))
        assert.isTrue(lives(grandchild))
        process.kill(-stranger.pid, "SIGKILL")
      })
    )
  )

  it.live(
    "Q16: a boot that was started by an agent of the boot before it does not end itself nor what is above it",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const instance = unique("orphans")
          const above = yield* foreign(
            ["/bin/sh", "-c", `"${node}" "${programs}/boot.ts" ${instance} 2; echo; exec sleep 300`],
            marked(instance, 1)
          )
          assert.deepStrictEqual(JSON.parse(above.said), { found: 0, marker: `${instance}/1/5/t1` })
          assert.isTrue(lives(above.pid))
        })
      )
  )

  it.live("Q16: processes of one turn are one orphan, those of two turns are two", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const instance = unique("orphans")
        const first = yield* foreign(["/bin/sh", "-c", "setsid sleep 300 & echo $!; wait"], marked(instance, 1, "a"))
        const second = yield* foreign(sleeper, marked(instance, 1, "b"))
        const found = yield* Children.orphans({ instance, epoch: 2 })
        assert.deepStrictEqual(
          found.map(({ pid, turn }) => ({ pid, turn })).sort((a, b) => (a.turn ?? "").localeCompare(b.turn ?? "")),
          [
            { pid: first.pid, turn: "a" },
            { pid: second.pid, turn: "b" }
          ]
        )
        for (const orphan of found) if (orphan.turn === "a") yield* orphan.reap
        assert.isFalse(lives(first.pid))
        assert.isFalse(lives(Number(first.said)))
        assert.isTrue(lives(second.pid))
      })
    )
  )

  it.live("an orphan that is awaited is gone when it has ended", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const instance = unique("orphans")
        const orphan = yield* foreign(sleeper, marked(instance, 1))
        const [found] = yield* Children.orphans({ instance, epoch: 2 })
        assert.isDefined(found)
        const gone = yield* Effect.forkChild(found.gone, { startImmediately: true })
        yield* Effect.yieldNow
        assert.isUndefined(gone.pollUnsafe())
        process.kill(orphan.pid, "SIGKILL")
        yield* Fiber.join(gone)
        assert.isFalse(lives(orphan.pid))
      })
    )
  )
})
