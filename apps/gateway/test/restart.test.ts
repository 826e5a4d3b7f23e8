/**
 * The last act of a real process: a code for whoever starts it again, or its own successor in the same process.
 */
import { assert, describe, it } from "@effect/vitest"
import { lastAct } from "../src/process/Restart.ts"
import { startNode } from "./program.ts"

const url = new URL("./programs/restarted.ts", import.meta.url)
const alone = { SLUICE_SUPERVISED: "", INVOCATION_ID: undefined, NOTIFY_SOCKET: undefined }

describe("a restart", () => {
  it("without a supervisor becomes its successor: same pid, same arguments, three generations", async () => {
    const program = startNode(url, ["0", "3"], { env: alone })
    for (let generation = 1; generation <= 3; generation++) {
      await program.says(`generation ${generation} pid ${program.pid} argument 3\n`)
      program.tell("go")
    }
    const { code, signal } = await program.ended
    assert.deepStrictEqual({ code, signal }, { code: 0, signal: null })
    assert.strictEqual(program.err(), "")
  })

  it("under a supervisor exits with 75", async () => {
    const program = startNode(url, ["0", "3"], { env: { ...alone, SLUICE_SUPERVISED: "1" } })
    await program.says("generation 1")
    program.tell("go")
    assert.strictEqual((await program.ended).code, 75)
  })

  it("S9: a stop that comes after the report of a restart wins, and the exit is clean", async () => {
    const program = startNode(url, ["0", "3"], { env: alone })
    await program.says("generation 1")
    program.signal("SIGTERM")
    assert.strictEqual((await program.ended).code, 0)
    assert.notInclude(program.out(), "generation 2")
  })

  it("every other code ends the process with it", () => {
    for (const code of [0, 69, 70, 74, 78, 80, 81]) {
      assert.strictEqual(lastAct(code, false, 0), code)
      assert.strictEqual(lastAct(code, true, 1), code)
    }
    assert.strictEqual(lastAct(75, false, 0), "again")
    assert.strictEqual(lastAct(75, true, 0), 75)
    assert.strictEqual(lastAct(75, true, 1), 0)
  })
})
