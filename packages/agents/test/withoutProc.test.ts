// A system that does not show its processes (macOS): the group that was started is still ended, orphans are honestly
// unknown. The process table is replaced by one that sees nothing; the programs and the signals are real.
import { assert, describe, it } from "@effect/vitest"
import { sessionOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import { vi } from "vitest"
import * as Children from "../src/Children.ts"
import { lives, unique } from "./processes.ts"

vi.mock(import("../src/internal/node/processTable.ts"), async (original) => ({
  ...(await original()),
  supported: false,
  startOf: () => undefined,
  readAll: () => new Map(),
  variableOf: () => undefined
}))

const grace = { ask: "50 millis", term: "100 millis", kill: "2 seconds" } as const

const pidsOf = Effect.fnUntraced(function* (child: Children.Child, count: number) {
  let text = ""
  while (text.split("\n").length <= count) {
    const piece = yield* child.read
    if (piece._tag === "End") break
    if (piece._tag === "Bytes") text += new TextDecoder().decode(piece.bytes)
  }
  return text.trim().split("\n").map(Number)
})

const stoppedAfter = Effect.fnUntraced(function* (script: string, count: number, ends: boolean) {
  const killed: Array<{ readonly pid: number; readonly signal: string }> = []
  const room = yield* Children.room(sessionOf({ instance: unique("blind"), killed }), { grace })
  const scope = yield* Scope.make()
  const child = yield* Effect.provideService(room.start({ argv: ["/bin/sh", "-c", script] }), Scope.Scope, scope)
  const pids = yield* pidsOf(child, count)
  assert.strictEqual(pids.length, count)
  if (ends) yield* child.exited
  yield* Scope.close(scope, Exit.void)
  assert.deepStrictEqual(pids.filter(lives), [])
  return { child, killed }
}, Effect.scoped)

describe("without /proc", () => {
  it.live("a program and its group are asked, then killed, and the program is recorded", () =>
    Effect.gen(function* () {
      const deaf = 'trap "" TERM; sleep 300 & echo $!; echo $$; wait'
      const { child, killed } = yield* stoppedAfter(deaf, 2, false)
      assert.deepStrictEqual(killed, [{ pid: child.pid, signal: "SIGKILL" }])
    })
  )

  it.live("what a finished program left in its group is ended too", () =>
    // Whether its zombie counts as alive depends on who waits for it, so only its end is promised.
    stoppedAfter("sleep 300 >/dev/null 2>&1 & echo $!", 1, true)
  )

  it.effect("orphans are none, and the log says once why", () =>
    Effect.gen(function* () {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => void lines.push(message))
      for (let boot = 2; boot < 5; boot++) {
        const found = yield* Effect.provide(
          Children.orphans({ instance: "blind", epoch: boot }),
          Logger.layer([logger])
        )
        assert.deepStrictEqual(found, [])
      }
      assert.strictEqual(lines.length, 1)
      assert.match(String(lines[0]), /no \/proc on this system/)
    })
  )
})
