// What a boot makes of what it finds, and what clients see of it: poison that kills the process, boots that die one
// after the other, messages from the time in between, clients that leave, keys that come again.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { connect } from "node:net"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { type Body, client } from "../client.ts"
import { launch, now, type Running, running, start, store, temporaryFolder, tool, until } from "../harness.ts"

const turnRuns = (gateway: Running, name: string) =>
  until(`a turn of ${name} runs`, Effect.orDie(gateway.client.call("/v1/status")), ({ body }) =>
    JSON.stringify(body["live"]).includes(`"http/${name}"`)
  )

const audit = (gateway: Running) => Effect.map(Effect.orDie(gateway.client.call("/v1/audit")), ({ body }) => body)

describe("turns that kill the process", () => {
  it.live(
    "D13: the third crash sets the turn aside and tells its person, and the innocent long turn beside it is answered",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const first = yield* start({ folder })
        yield* first.client.send("innocent", "work 2s patiently")
        yield* turnRuns(first, "innocent")
        // The acknowledgement may be cut off with the process: the key makes the retry harmless.
        yield* Effect.ignore(
          first.client.call("/v1/conversations/poison/messages", { body: { text: "crash" }, key: "poison" })
        )
        assert.strictEqual((yield* first.exited).signal, "SIGKILL")
        const boots = [first.facts.epoch]
        for (let died = true; died;) {
          const next = yield* launch({ folder })
          const ready = yield* Effect.exit(running(next))
          if (ready._tag === "Success") {
            boots.push(ready.value.facts.epoch)
            yield* ready.value.client.call("/v1/admin/resume", { method: "POST" }).pipe(Effect.ignore)
            const told = yield* Effect.exit(
              Effect.raceFirst(
                ready.value.client.repliesUntil("poison", 1),
                Effect.flatMap(next.exited, () => Effect.die("it died once more"))
              )
            )
            if (told._tag === "Success") {
              died = false
              assert.match(
                told.value[0]?.text ?? "",
                /^I broke down 3 times while working on "crash", so I've set it aside/
              )
              assert.deepStrictEqual(told.value[0]?.inReplyTo, ["poison"])
              const [reply] = yield* ready.value.client.repliesUntil("innocent", 1)
              assert.strictEqual(reply?.text, "work 2s patiently")
              const { status } = yield* Effect.orDie(ready.value.client.call("/readyz"))
              assert.strictEqual(status, 200)
              const states = store(ready.value, "select state, crashes from sluice_turns order by id")
              assert.deepStrictEqual(new Set(states.map(({ state }) => state)), new Set(["done", "suspended"]))
              assert.isBelow(Number(states.find(({ state }) => state === "done")?.["crashes"]), 3)
              assert.deepInclude(yield* audit(ready.value), { accepted: 2, open: 0, balanced: true })
            }
          }
          assert.isBelow(boots.length, 6)
        }
      }).pipe(Effect.scoped)
  )

  it.live(
    "D14: three unclean boots in a row pause automatic resume only, and readiness says so until it is resumed",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        let gateway = yield* start({ folder })
        yield* gateway.client.send("kim", "work 3s cut again and again")
        yield* turnRuns(gateway, "kim")
        for (let crash = 0; crash < 2; crash++) {
          yield* gateway.signal("SIGKILL")
          yield* gateway.exited
          gateway = yield* start({ folder })
        }
        // The turn has two crashes; a third would set it aside, so this one comes before it is dispatched.
        yield* until("it runs again", Effect.orDie(gateway.client.call("/v1/status")), ({ body }) =>
          JSON.stringify(body["live"]).includes('"attempt":3')
        )
        const [before] = yield* gateway.client.repliesUntil("kim", 1)
        assert.include(before?.text, "cut again")
        yield* gateway.client.send("kim", "work 2s once more")
        yield* turnRuns(gateway, "kim")
        yield* gateway.signal("SIGKILL")
        yield* gateway.exited
        gateway = yield* start({ folder })
        const { body, status } = yield* Effect.orDie(gateway.client.call("/readyz"))
        assert.strictEqual(status, 503)
        assert.match(body.problems?.[0] ?? "", /automatic resume is paused after 3 unclean boots/)
        yield* gateway.client.send("new", "intake and new turns stay open")
        assert.lengthOf(yield* gateway.client.repliesUntil("new", 1), 1)
        assert.lengthOf(yield* gateway.client.replies("kim").pipe(Effect.orDie), 1)
        const resumed = yield* tool(folder, ["resume"])
        assert.strictEqual(resumed.code, 0, resumed.err)
        const [late] = yield* gateway.client.repliesUntil("kim", 1, 1)
        assert.strictEqual(late?.text, "work 2s once more")
        assert.strictEqual((yield* Effect.orDie(gateway.client.call("/readyz"))).status, 200)
      }).pipe(Effect.scoped)
  )
})

describe("messages and their keys", () => {
  it.live(
    "D8 D9: sent while nobody was there, and again before, in, and after its turn, and after a restart: one turn",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const gateway = yield* start({ folder })
        const port = new URL(gateway.url).port
        yield* gateway.signal("SIGTERM")
        yield* gateway.exited
        // A client that begins while nobody listens goes on until somebody does.
        const waiting = yield* Effect.forkScoped(
          client(gateway.url, gateway.token).send("kim", "work 600ms the only one", { id: "u1" })
        )
        const next = yield* start({ folder, environment: { SLUICE_PORT: port } })
        const { seq } = yield* Fiber.join(waiting)
        const repeat = (gateway: Running) =>
          Effect.map(gateway.client.send("kim", "work 600ms the only one", { id: "u1" }), ({ duplicate, seq }) => [
            duplicate,
            seq
          ])
        assert.deepStrictEqual(yield* repeat(next), [true, seq])
        yield* turnRuns(next, "kim")
        assert.deepStrictEqual(yield* repeat(next), [true, seq])
        yield* next.client.repliesUntil("kim", 1)
        assert.deepStrictEqual(yield* repeat(next), [true, seq])
        yield* next.signal("SIGKILL")
        yield* next.exited
        const last = yield* start({ folder })
        assert.deepStrictEqual(yield* repeat(last), [true, seq])
        assert.lengthOf(yield* Effect.orDie(last.client.replies("kim")), 1)
        assert.strictEqual(store(last, "select id from sluice_turns").length, 1)
      }).pipe(Effect.scoped)
  )

  it.live("D10: the same key with another body is a conflict that names the first one, before and after a crash", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const { id, seq } = yield* gateway.client.send("kim", "first")
      const other = (gateway: Running) =>
        Effect.orDie(gateway.client.call("/v1/conversations/kim/messages", { body: { text: "second" }, key: id }))
      const named = ({ id, seq, status, type }: Body) => ({ type, status, id, seq })
      const conflict = { type: "urn:sluice:problem:conflict", status: 409, id, seq }
      assert.deepStrictEqual(named((yield* other(gateway)).body), conflict)
      yield* gateway.signal("SIGKILL")
      yield* gateway.exited
      const next = yield* start({ folder: gateway.folder })
      assert.deepStrictEqual(named((yield* other(next)).body), conflict)
      const elsewhere = yield* next.client.send("sam", "second", { id })
      assert.isFalse(elsewhere.duplicate)
    }).pipe(Effect.scoped)
  )

  it.live("D22: clients that send and hang up at once are answered all the same", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const { hostname, port } = new URL(gateway.url)
      const body = JSON.stringify({ text: "I am gone" })
      const head = [
        "POST /v1/conversations/kim/messages HTTP/1.1",
        `Host: ${hostname}:${port}`,
        `Authorization: Bearer ${gateway.token}`,
        "Content-Type: application/json",
        `Content-Length: ${body.length}`
      ]
      for (let n = 0; n < 20; n++) {
        yield* Effect.promise(
          () =>
            new Promise<void>((done, failed) => {
              const socket = connect(Number(port), hostname, () => {
                socket.write(`${head.join("\r\n")}\r\nIdempotency-Key: gone-${n}\r\n\r\n${body}`, () => {
                  if (n % 2 === 0) socket.resetAndDestroy()
                  else socket.end()
                  done()
                })
              })
              socket.on("error", failed)
            })
        ).pipe(Effect.orDie)
      }
      // Whoever was stored is answered; whether one was stored is what its retry finds out.
      const seqs = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, n) => n),
        (n) => gateway.client.send("kim", "I am gone", { id: `gone-${n}` })
      )
      assert.strictEqual(new Set(seqs.map(({ seq }) => seq)).size, 20)
      yield* until("all are answered", audit(gateway), ({ open }) => open === 0)
      const replies = yield* Effect.orDie(gateway.client.replies("kim"))
      assert.sameMembers(
        replies.flatMap(({ inReplyTo }) => inReplyTo),
        seqs.map(({ id }) => id)
      )
    }).pipe(Effect.scoped)
  )

  it.live("C1: at each acknowledgement a second connection, which can only read, finds the message on the disk", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, n) => n),
        Effect.fnUntraced(function* (n) {
          const { id, seq } = yield* gateway.client.send(`c${n % 7}`, `message ${n}`)
          const rows = store(gateway, "select seq, text from sluice_inbound where id = ?", id)
          assert.deepStrictEqual(
            rows.map((row) => ({ ...row })),
            [{ seq: seq ?? 0, text: `message ${n}` }]
          )
        }),
        { concurrency: 16 }
      )
    }).pipe(Effect.scoped)
  )
})

describe("D26: the lock of the store", () => {
  it.live("holds whatever is read of the folder from outside, and a writer of an older epoch is refused", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      for (const name of readdirSync(gateway.stateDirectory)) {
        if (name !== "attachments") readFileSync(join(gateway.stateDirectory, name))
      }
      yield* gateway.client.send("kim", "hello")
      const second = yield* launch({ folder: gateway.folder })
      assert.strictEqual((yield* second.exited).code, 69)
      // Somebody took the store over although the lock is held: an epoch that this gateway does not know.
      const database = new DatabaseSync(join(gateway.stateDirectory, "journal.db"), { timeout: 5000 })
      database.exec(`insert into sluice_boots (epoch, version, opened_at, chain, rounds, counters, uptime)
        select epoch + 1, version, opened_at, 0, 0, counters, 0 from sluice_boots order by epoch desc limit 1`)
      database.close()
      const late = yield* Effect.option(
        gateway.client.call("/v1/conversations/kim/messages", { body: { text: "too late" }, key: "late" })
      )
      assert.notInclude([200, 202], late._tag === "Some" ? late.value.status : 0)
      const { code } = yield* gateway.exited
      assert.strictEqual(code, 69, gateway.output().out.slice(-3).join("\n"))
      assert.lengthOf(store(gateway, "select seq from sluice_inbound where id = 'late'"), 0)
    }).pipe(Effect.scoped)
  )
})

describe("conversations side by side", () => {
  it.live("Q1 Q9 Q18: turns that hang keep nobody waiting, and /status answers beside one", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* Effect.forEach(["a", "b", "c"], (name) => gateway.client.send(name, "hang"))
      yield* turnRuns(gateway, "c")
      const took: Array<number> = []
      for (let n = 0; n < 30; n++) {
        const before = now()
        const { ended } = yield* gateway.client.send(`free${n}`, "quick", { wait: "20s" })
        assert.strictEqual(ended, "replied")
        took.push(now() - before)
      }
      // Not a measurement: a turn that waited for the hanging ones would not come at all.
      assert.isBelow(Math.max(...took), 20_000)
      const status = yield* gateway.client.send("a", "/status", { wait: "20s" })
      assert.strictEqual(status.ended, "command")
      assert.strictEqual(status.replies?.length, 1)
      yield* gateway.client.send("a", "/stop", { wait: "20s" })
      const live = yield* Effect.orDie(gateway.client.call("/v1/status"))
      assert.match(JSON.stringify(live.body["live"]), /"http\/b".*"waitsFor":"/)
    }).pipe(Effect.scoped)
  )
})

describe("W1: replies", () => {
  /** The replies of an event stream above a number, until there are so many. */
  const streamed = (gateway: Running, name: string, after: number, count: number) =>
    Effect.promise(async (signal) => {
      const response = await fetch(new URL(`/v1/conversations/${name}/events`, gateway.url), {
        headers: { authorization: `Bearer ${gateway.token}`, "last-event-id": String(after) },
        signal
      })
      const found: Array<{ readonly id: number; readonly text: string }> = []
      let text = ""
      for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += chunk
        const events = text.split("\n\n")
        text = events.pop() ?? ""
        for (const event of events) {
          const [, id = "0"] = /^id: (\d+)$/m.exec(event) ?? []
          const [, data = ""] = /^event: reply\ndata: (.*)$/m.exec(event) ?? []
          if (data !== "") found.push({ id: Number(id), text: JSON.parse(data).text })
        }
        if (found.length >= count) break
      }
      return found
    })

  it.live("W1: wait, poll and stream tell the same, and a stream that breaks with a crash goes on where it was", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const waited = yield* gateway.client.send("kim", "one", { wait: "20s" })
      assert.deepStrictEqual(
        waited.replies?.map(({ number, text }) => [number, text]),
        [[1, "one"]]
      )
      const reading = yield* Effect.forkScoped(streamed(gateway, "kim", 0, 2))
      yield* gateway.client.send("kim", "two")
      assert.deepStrictEqual(yield* Fiber.join(reading), [
        { id: 1, text: "one" },
        { id: 2, text: "two" }
      ])
      yield* gateway.client.send("kim", "work 300ms three")
      yield* turnRuns(gateway, "kim")
      yield* gateway.signal("SIGKILL")
      yield* gateway.exited
      const next = yield* start({ folder: gateway.folder })
      yield* next.client.repliesUntil("kim", 1, 2)
      yield* next.client.send("kim", "four")
      const rest = yield* streamed(next, "kim", 2, 2)
      assert.deepStrictEqual(rest, [
        { id: 3, text: "work 300ms three" },
        { id: 4, text: "four" }
      ])
    }).pipe(Effect.scoped)
  )
})
