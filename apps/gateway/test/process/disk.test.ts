// D11: disks that are full, that can't be written, or whose store somebody else has locked. Nobody is told that a message
// is stored when it is not; the sender's retry is answered once; the process says what is wrong, and ends by 74 rather
// than going on with a broken handle. A full disk is a small file system of its own, which only root can mount.
import { assert, beforeEach, describe, it } from "@effect/vitest"
import type { TestContext } from "vitest"
import * as Effect from "effect/Effect"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { launch, now, type Running, start, store, temporaryFolder, tool, until } from "../harness.ts"

const messages = "/v1/conversations/kim/messages"

const mount = (folder: string, megabytes: number) =>
  spawnSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=0700`, "tmpfs", folder]).status === 0

/** Whether this user may mount one. */
const canMount = (() => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-mount-"))
  const mounted = mount(folder, 1)
  if (mounted) execFileSync("umount", [folder])
  rmSync(folder, { recursive: true })
  return mounted
})()

/** A file system of so many megabytes, unmounted with the scope. */
const smallDisk = (megabytes: number) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    assert.isTrue(mount(folder, megabytes))
    yield* Effect.addFinalizer(() => Effect.sync(() => execFileSync("umount", ["-l", folder])))
    return folder
  })

/** Fills what is left of a disk. */
const fill = (folder: string) =>
  Effect.sync(() => {
    const { bavail, bsize } = statfsSync(folder)
    try {
      writeFileSync(join(folder, "filler"), Buffer.alloc(bavail * bsize))
    } catch {
      // It took what there was.
    }
    return () => rmSync(join(folder, "filler"), { force: true })
  })

const post = (gateway: Running, key: string, text: string) =>
  Effect.option(gateway.client.call(messages, { body: { text }, key }))

/** Said once for each test that needs a file system of its own where none can be mounted. */
const needsMount = (context: TestContext) => {
  if (!canMount) context.skip("no file system can be mounted here")
}

describe("D11: a full disk", () => {
  beforeEach(needsMount)

  it.live("acknowledges nothing that is not stored, ends by 74 and says why, and the retry is answered once", () =>
    Effect.gen(function* () {
      const disk = yield* smallDisk(8)
      const environment = { SLUICE_STATE_DIR: join(disk, "state"), SLUICE_DRAIN_TIMEOUT: "3s" }
      const folder = yield* temporaryFolder
      const gateway = yield* start({ folder, environment })
      const before = yield* gateway.client.send("kim", "while there was room")
      yield* gateway.client.repliesUntil("kim", 1)
      const empty = yield* fill(disk)
      const acknowledged: Array<string> = []
      let turnedAway = 0
      for (let n = 0; n < 400 && turnedAway < 3; n++) {
        const answer = yield* post(gateway, `full-${n}`, `${n} ${"x".repeat(20_000)}`)
        if (answer._tag === "Some" && answer.value.status === 202) acknowledged.push(`full-${n}`)
        else {
          turnedAway++
          if (answer._tag === "Some") {
            assert.strictEqual(answer.value.status, 503)
            assert.isNotNull(answer.value.headers.get("retry-after"))
          }
        }
      }
      assert.strictEqual(turnedAway, 3)
      const { code } = yield* gateway.exited
      assert.strictEqual(code, 74, gateway.output().out.slice(-3).join("\n"))
      assert.match(gateway.output().out.join("\n"), /the store failed: the disk is full; make room and start again/)
      empty()
      const next = yield* start({ folder, environment })
      assert.match(next.facts.lastStop, /stor|disk|74/i)
      const rows = store(next, "select id from sluice_inbound where id like 'full-%' order by seq")
      assert.includeMembers(
        rows.map(({ id }) => id),
        acknowledged
      )
      const again = yield* next.client.send("kim", "while there was room", { id: before.id })
      assert.strictEqual(again.seq, before.seq)
      yield* next.client.send("kim", "and now there is again", { id: "later", wait: "20s" })
      yield* until("all is answered", Effect.orDie(next.client.call("/v1/audit")), ({ body }) => body["open"] === 0)
      const turns = store(next, "select max(crashes) as crashes from sluice_turns")
      assert.strictEqual(turns[0]?.["crashes"], 0)
      const { body } = yield* Effect.orDie(next.client.call("/v1/conversations/kim/replies?limit=1000"))
      const named = (body.replies ?? []).flatMap(({ inReplyTo }) => inReplyTo)
      assert.strictEqual(new Set(named).size, named.length)
      assert.includeMembers(named, acknowledged)
    }).pipe(Effect.scoped)
  )

  it.live("lets a stop write its mark and its end: the next boot knows what was planned", () =>
    Effect.gen(function* () {
      const disk = yield* smallDisk(8)
      const environment = { SLUICE_STATE_DIR: join(disk, "state"), SLUICE_DRAIN_TIMEOUT: "2s" }
      const folder = yield* temporaryFolder
      const gateway = yield* start({ folder, environment })
      yield* gateway.client.send("kim", "work 20s long")
      yield* until("it runs", Effect.orDie(gateway.client.call("/v1/status")), ({ body }) =>
        JSON.stringify(body["live"]).includes('"attempt":1')
      )
      const empty = yield* fill(disk)
      yield* gateway.signal("SIGTERM")
      const { code } = yield* gateway.exited
      assert.include([74, 80], code)
      empty()
      const next = yield* start({ folder, environment })
      const [turn] = store(next, "select crashes from sluice_turns")
      assert.strictEqual(turn?.["crashes"], 0)
      yield* next.client.send("kim", "/stop", { wait: "20s" })
    }).pipe(Effect.scoped)
  )

  it.live("that is full at the start: it says so and leaves no half of a store", () =>
    Effect.gen(function* () {
      const disk = yield* smallDisk(1)
      const empty = yield* fill(disk)
      const environment = { SLUICE_STATE_DIR: join(disk, "state") }
      const folder = yield* temporaryFolder
      const gateway = yield* launch({ folder, environment })
      const { code } = yield* gateway.exited
      assert.include([74, 78], code)
      assert.match(gateway.output().err.join("\n"), /the disk is full; make room|disk is full/)
      empty()
    }).pipe(Effect.scoped)
  )
})

describe("D11: a disk that can't be written", () => {
  beforeEach(needsMount)

  it.live("a read-only file system: refused at the start with the reason", () =>
    Effect.gen(function* () {
      const disk = yield* smallDisk(8)
      const environment = { SLUICE_STATE_DIR: join(disk, "state") }
      const folder = yield* temporaryFolder
      const first = yield* start({ folder, environment })
      yield* first.signal("SIGTERM")
      yield* first.exited
      execFileSync("mount", ["-o", "remount,ro", disk])
      const gateway = yield* launch({ folder, environment })
      assert.strictEqual((yield* gateway.exited).code, 78)
      assert.match(gateway.output().err.join("\n"), /the file system is read-only/)
      const looked = yield* tool(folder, ["audit"], environment)
      assert.strictEqual(looked.code, 78)
      assert.match(looked.err, /check that its folder exists and is writable/)
    }).pipe(Effect.scoped)
  )

  it.live(
    "a state directory that becomes read-only while it runs: the stop ends as it would have, and says what is left",
    () =>
      Effect.gen(function* () {
        const gateway = yield* start()
        yield* gateway.client.send("kim", "before")
        yield* gateway.client.repliesUntil("kim", 1)
        const folder = gateway.stateDirectory
        execFileSync("mount", ["--bind", folder, folder])
        yield* Effect.addFinalizer(() => Effect.sync(() => spawnSync("umount", ["-l", folder])))
        execFileSync("mount", ["-o", "remount,bind,ro", folder])
        yield* gateway.client.send("kim", "after")
        yield* gateway.client.repliesUntil("kim", 2)
        yield* gateway.signal("SIGTERM")
        const { code } = yield* gateway.exited
        assert.strictEqual(code, 0, gateway.output().err.join("\n"))
        assert.match(gateway.output().out.join("\n"), /address can't be removed/)
        execFileSync("umount", ["-l", folder])
        const next = yield* start({ folder: gateway.folder })
        assert.lengthOf(yield* Effect.orDie(next.client.replies("kim")), 2)
      }).pipe(Effect.scoped)
  )
})

describe("D11: a store that somebody else writes", () => {
  it.live("somebody holds its write lock: 503 with Retry-After in time, and all goes on when it is free again", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "before")
      yield* gateway.client.repliesUntil("kim", 1)
      const other = new DatabaseSync(join(gateway.stateDirectory, "journal.db"), { timeout: 5000 })
      other.exec("begin immediate")
      const began = now()
      const answer = yield* post(gateway, "busy", "patience")
      assert.isBelow(now() - began, 15_000)
      assert.strictEqual(answer._tag === "Some" ? answer.value.status : 0, 503)
      assert.strictEqual((yield* Effect.orDie(gateway.client.call("/healthz"))).status, 200)
      other.exec("rollback")
      other.close()
      const { ended } = yield* gateway.client.send("kim", "patience", { id: "busy", wait: "20s" })
      assert.strictEqual(ended, "replied")
      assert.lengthOf(yield* Effect.orDie(gateway.client.replies("kim")), 2)
    }).pipe(Effect.scoped)
  )
})
