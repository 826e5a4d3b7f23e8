// The shim is what L3's disk and clock faults stand on: each kind of fault strikes in a real process, only on the store's
// files, is counted, and is gone when it is mended. The process is a Node that writes into a SQLite file on demand.
import { afterEach, assert, beforeEach, describe, it, type TestContext } from "vitest"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import * as Shim from "../src/levels/L3/Shim.ts"

const compiled = Shim.compile()
const library = "library" in compiled ? compiled.library : ""

const program = `
import { createInterface } from "node:readline"
import { appendFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
const database = new DatabaseSync(process.argv[1])
database.exec("pragma journal_mode = wal; pragma synchronous = full; create table t (text)")
const does = {
  write: () => database.prepare("insert into t values (?)").run("x".repeat(20000)).changes,
  reopen: () => new DatabaseSync(process.argv[1]).prepare("select count(*) as n from t").get().n,
  checkpoint: () => database.prepare("pragma wal_checkpoint(truncate)").get().busy,
  elsewhere: () => appendFileSync(process.argv[1] + ".other", "x"),
  wall: () => Date.now(),
  monotonic: () => Number(process.hrtime.bigint() / 1000000n)
}
console.log("ready")
for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify({ ok: does[line]() ?? null }))
  } catch (error) {
    console.log(JSON.stringify({ error: error.message, code: error.errcode ?? error.code }))
  }
}
`

interface Told {
  readonly ok?: number | null
  readonly error?: string
  readonly code?: number | string
}

let cleanings: Array<() => void> = []
afterEach(() => {
  for (const clean of cleanings) clean()
  cleanings = []
})

/** A process with the shim in it, that does a thing when it is told to. */
const subject = async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "sluice-shim-")))
  const database = join(folder, "journal.db")
  const shim = Shim.make(library, join(folder, "control"), database)
  const child: ChildProcess = spawn(process.execPath, ["--input-type=module", "-e", program, database], {
    env: { ...process.env, ...shim.environment },
    stdio: ["pipe", "pipe", "inherit"]
  })
  cleanings.push(() => {
    child.kill("SIGKILL")
    shim.close()
    rmSync(folder, { recursive: true, force: true })
  })
  assert.isNotNull(child.stdout)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => String((await lines.next()).value)
  assert.strictEqual(await next(), "ready")
  const does = async (what: string): Promise<Told> => {
    child.stdin?.write(`${what}\n`)
    return JSON.parse(await next())
  }
  return { shim, does, pid: child.pid }
}

/** Said once for each test that needs the shim where none can be made. */
const needsShim = (context: TestContext) => {
  if ("missing" in compiled) context.skip(compiled.missing)
}

describe("the shim", () => {
  beforeEach(needsShim)

  it("is in the process, and without a rule it changes nothing", async () => {
    const { does, pid, shim } = await subject()
    assert.strictEqual(shim.loadedBy(), pid)
    assert.deepStrictEqual(await does("write"), { ok: 1 })
    assert.strictEqual(shim.injected(), 0)
  })

  it("fails writes of the log for as many times as it was told, and says how many they were", async () => {
    const { does, shim } = await subject()
    shim.set("write", { mode: "fail", error: "EIO", files: Shim.files.wal, times: 1 })
    assert.strictEqual((await does("write")).error, "disk I/O error")
    assert.deepStrictEqual(await does("write"), { ok: 1 })
    assert.strictEqual(shim.injected("write"), 1)
  })

  it("a full disk is one for the store alone, until it is mended", async () => {
    const { does, shim } = await subject()
    shim.set("write", { mode: "fail", error: "ENOSPC" })
    assert.strictEqual((await does("write")).error, "database or disk is full")
    assert.deepStrictEqual(await does("elsewhere"), { ok: null })
    assert.strictEqual((await does("write")).error, "database or disk is full")
    shim.clear()
    assert.deepStrictEqual(await does("write"), { ok: 1 })
    assert.isAtLeast(shim.injected("write"), 2)
  })

  it("a sync that fails is the log's, or the database's at a checkpoint", async () => {
    const { does, shim } = await subject()
    shim.set("sync", { mode: "fail", error: "EIO", files: Shim.files.wal })
    assert.strictEqual((await does("write")).code, 1034)
    shim.set("sync", { mode: "fail", error: "EIO", files: Shim.files.database })
    assert.deepStrictEqual(await does("write"), { ok: 1 })
    assert.strictEqual((await does("checkpoint")).code, 1034)
    assert.strictEqual(shim.injected("sync"), 2)
  })

  it("a short write is completed by whoever wrote, and counted", async () => {
    const { does, shim } = await subject()
    shim.set("write", { mode: "short" })
    assert.deepStrictEqual(await does("write"), { ok: 1 })
    shim.clear()
    assert.isAbove(shim.injected("write"), 0)
    assert.deepStrictEqual(await does("reopen"), { ok: 1 })
  })

  it("calls that are let pass are let pass: the third write is the one that fails", async () => {
    const { does, shim } = await subject()
    shim.set("sync", { mode: "fail", error: "EIO", files: Shim.files.wal, skip: 2, times: 1 })
    const told = [await does("write"), await does("write"), await does("write"), await does("write")]
    assert.deepStrictEqual(
      told.map(({ code }) => code),
      [undefined, undefined, 1034, undefined]
    )
    assert.strictEqual(shim.seen("sync"), 4)
  })

  it("the wall clock jumps both ways; the monotonic one does not", async () => {
    const { does, shim } = await subject()
    const hour = 3_600_000
    const jumped = async (millis: number) => {
      shim.jump(millis)
      return [Number((await does("wall")).ok) - Date.now(), Number((await does("monotonic")).ok)] as const
    }
    const [ahead, first] = await jumped(5 * hour)
    assert.isAbove(ahead, 4 * hour)
    const [behind, second] = await jumped(-5 * hour)
    assert.isBelow(behind, -4 * hour)
    assert.isAtLeast(second, first)
    assert.isBelow(second - first, hour)
    assert.isAbove(shim.clocked(), 0)
  })
})
