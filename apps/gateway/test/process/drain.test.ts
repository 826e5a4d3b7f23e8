// What a stop does with its clients and its queue: nobody that hangs on delays it, nobody that sends is turned away
// after a commit, and what waits is counted. Then restarts under load, by signal, with clients that just go on.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { type Answer, client, Unanswered } from "../client.ts"
import { reportIn, type Running, running, start, store, temporaryFolder, tool, until } from "../harness.ts"
import { prove, type Pulled, type Told } from "../records.ts"

const turnRuns = (gateway: Running, name: string) =>
  until(`a turn of ${name} runs`, Effect.orDie(gateway.client.call("/v1/status")), ({ body }) =>
    JSON.stringify(body["live"]).includes(`"http/${name}"`)
  )

const stopping = (gateway: Running) =>
  until("it is stopping", Effect.orDie(gateway.client.call("/readyz")), ({ status }) => status === 503)

const messages = (name: string) => `/v1/conversations/${name}/messages`

describe("a stop with a queue", () => {
  it.live(
    "S5: a queue whose list is empty is busy while its turn runs; what waited starts, and the report counts it",
    () =>
      Effect.gen(function* () {
        const gateway = yield* start()
        yield* gateway.client.send("kim", "work 700ms first")
        yield* turnRuns(gateway, "kim")
        yield* gateway.client.send("sam", "work 700ms alone")
        yield* turnRuns(gateway, "sam")
        yield* gateway.client.send("kim", "second")
        yield* gateway.signal("SIGTERM")
        assert.strictEqual((yield* gateway.exited).code, 0)
        const report = reportIn(gateway)
        assert.sameMembers(
          report.sessions.map(({ key, outcome }) => `${key} ${outcome}`),
          ["http/kim finished", "http/sam finished", "http/kim finished"]
        )
        assert.deepStrictEqual(report.queued, [])
        assert.deepInclude(report.ledger, { accepted: 3, open: 0, balanced: true })
      }).pipe(Effect.scoped)
  )

  it.live(
    "S5 S14: with `startWithin` 0 nothing that waits is started: it is named in the report and answered later",
    () =>
      Effect.gen(function* () {
        const gateway = yield* start({ configuration: "drain: { startWithin: 0 millis }\n" })
        yield* gateway.client.send("kim", "work 500ms first")
        yield* turnRuns(gateway, "kim")
        yield* gateway.client.send("kim", "second")
        yield* gateway.signal("SIGTERM")
        yield* gateway.exited
        const report = reportIn(gateway)
        assert.deepStrictEqual(report.queued, [{ conversation: "http/kim", waiting: 1 }])
        assert.deepInclude(report.ledger, { accepted: 2, open: 1, balanced: true })
        const next = yield* start({ folder: gateway.folder })
        const replies = yield* next.client.repliesUntil("kim", 2)
        assert.deepStrictEqual(
          replies.map(({ text }) => text),
          ["work 500ms first", "second"]
        )
      }).pipe(Effect.scoped)
  )

  it.live(
    "S6: in the drain a message is committed and answered as accepted for after the restart, and nobody waits on",
    () =>
      Effect.gen(function* () {
        const gateway = yield* start({ environment: { SLUICE_DRAIN_TIMEOUT: "4s" } })
        yield* gateway.client.send("kim", "work 1500ms slow")
        yield* turnRuns(gateway, "kim")
        const waiting = yield* Effect.forkScoped(
          gateway.client.call(`${messages("sam")}?wait=60s`, { body: { text: "work 60s" }, key: "w" })
        )
        yield* turnRuns(gateway, "sam")
        yield* gateway.signal("SIGTERM")
        yield* stopping(gateway)
        const posted = yield* Effect.orDie(
          gateway.client.call(`${messages("ann")}?wait=60s`, { body: { text: "in between" }, key: "k" })
        )
        // Answered while it drains, not at the end of it: the turn that is waited for still runs.
        yield* turnRuns(gateway, "sam")
        assert.strictEqual(posted.status, 202)
        assert.deepInclude(posted.body, { held: true, duplicate: false, id: "k" })
        assert.isAbove(Number(posted.headers.get("retry-after")), 0)
        const held = yield* Effect.orDie(Fiber.join(waiting))
        assert.strictEqual(held.status, 202)
        assert.isAbove(Number(held.headers.get("retry-after")), 0)
        const rows = store(gateway, "select text from sluice_inbound where id = 'k'")
        assert.strictEqual(rows[0]?.["text"], "in between")
        assert.strictEqual((yield* gateway.exited).code, 80)
        const next = yield* start({ folder: gateway.folder })
        const again = yield* next.client.send("ann", "in between", { id: "k", wait: "20s" })
        assert.deepStrictEqual([again.seq, again.duplicate, again.ended], [posted.body.seq, true, "replied"])
      }).pipe(Effect.scoped)
  )
})

/** A connection that says this and then does nothing any more; `read` says whether it takes what comes. */
const connection = (gateway: Running, text: string, read = true) =>
  Effect.acquireRelease(
    Effect.callback<Socket, Error>((resume) => {
      const { hostname, port } = new URL(gateway.url)
      const socket = connect(Number(port), hostname, () => socket.write(text, () => resume(Effect.succeed(socket))))
      socket.on("error", (error) => resume(Effect.fail(error)))
      if (read) socket.resume()
      else socket.pause()
    }).pipe(Effect.orDie),
    (socket) => Effect.sync(() => socket.destroy())
  )

describe("S13: clients that hang on", () => {
  const head = (gateway: Running, line: string) =>
    `${line} HTTP/1.1\r\nHost: ${new URL(gateway.url).host}\r\nAuthorization: Bearer ${gateway.token}\r\n`
  const post = (gateway: Running) =>
    `${head(gateway, `POST ${messages("kim")}`)}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"text": "ha`
  const cases: ReadonlyArray<readonly [what: string, text: (gateway: Running) => string, read: boolean]> = [
    ["an open event stream", (gateway) => `${head(gateway, "GET /v1/conversations/kim/events")}\r\n`, true],
    [
      "an event stream that nobody reads",
      (gateway) => `${head(gateway, "GET /v1/conversations/kim/events")}\r\n`,
      false
    ],
    ["a long poll", (gateway) => `${head(gateway, "GET /v1/conversations/kim/replies?after=9&wait=60s")}\r\n`, true],
    ["an idle connection", (gateway) => `${head(gateway, "GET /healthz")}Connection: keep-alive\r\n\r\n`, true],
    ["a body that stops in the middle", post, true],
    ["headers that stop in the middle", (gateway) => head(gateway, "GET /v1/audit"), true],
    ["a connection that says nothing", () => "", true]
  ]
  it.live("none of them, nor all together, delays the stop", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* Effect.forEach(cases, ([, text, read]) =>
        Effect.forEach([1, 2, 3], () => connection(gateway, text(gateway), read))
      )
      // Answers that fill the pipe of the one who does not read.
      for (let n = 0; n < 20; n++) yield* gateway.client.send("kim", `${n}${"x".repeat(200_000)}`)
      yield* until("all is answered", Effect.orDie(gateway.client.call("/v1/audit")), ({ body }) => body["open"] === 0)
      yield* gateway.signal("SIGTERM")
      assert.strictEqual((yield* gateway.exited).code, 0)
      const report = reportIn(gateway)
      // Node itself would wait for half a minute and longer.
      assert.isBelow(report.millis, 8000)
      assert.deepStrictEqual(
        report.phases.filter(({ outcome }) => outcome !== "done"),
        []
      )
      assert.strictEqual(store(gateway, "select seq from sluice_inbound where text like '%ha'").length, 0)
    }).pipe(Effect.scoped)
  )
})

describe("a stop with trouble", () => {
  it.live("S15: a session whose agent fails again and again does not delay it", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ configuration: "turns: { backoff: [10 minutes, 10 minutes] }\n" })
      yield* gateway.client.send("kim", "fail")
      yield* until(
        "the turn waits for its next try",
        Effect.sync(() => store(gateway, "select state from sluice_turns")),
        ([row]) => row?.["state"] === "waiting"
      )
      yield* gateway.signal("SIGTERM")
      assert.strictEqual((yield* gateway.exited).code, 0)
      assert.isBelow(reportIn(gateway).millis, 8000)
    }).pipe(Effect.scoped)
  )

  it.live(
    "S16: a phase that can't end, for another connection holds the store, is reported and the deadline holds",
    () =>
      Effect.gen(function* () {
        const gateway = yield* start({ environment: { SLUICE_DRAIN_TIMEOUT: "2s" } })
        yield* gateway.client.send("kim", "work 60s")
        yield* turnRuns(gateway, "kim")
        const { DatabaseSync } = yield* Effect.promise(() => import("node:sqlite"))
        const other = new DatabaseSync(join(gateway.stateDirectory, "journal.db"), { timeout: 5000 })
        other.exec("begin immediate")
        const sent = yield* gateway.signal("SIGTERM")
        const exit = yield* gateway.exited
        other.exec("rollback")
        other.close()
        // The other one lets go only now: without a deadline this would not be reached.
        assert.isBelow(exit.at - sent, 20_000)
        assert.notStrictEqual(exit.code, 0)
        const next = yield* start({ folder: gateway.folder })
        yield* next.client.send("kim", "/stop", { wait: "20s" })
        assert.deepInclude((yield* Effect.orDie(next.client.call("/v1/audit"))).body, { open: 0, balanced: true })
      }).pipe(Effect.scoped)
  )
})

describe("S19: restarts under load", () => {
  const people = ["ann", "bob", "cem", "dan", "eve", "fay"]
  const restarts = 6

  it.live("lose no accepted message, and answer each retry with its first result", () =>
    Effect.gen(function* () {
      let gateway = yield* start({ configuration: "queue: { cap: 10000 }\n" })
      const place = { url: gateway.url, token: gateway.token, over: false }
      const told = new Map(people.map((name) => [name, new Array<Told>()]))
      const refused: Array<string> = []
      const insist = (name: string, id: string, text: string): Effect.Effect<Answer> =>
        client(place.url, place.token)
          .call(messages(name), { body: { text }, key: id })
          .pipe(
            Effect.filterOrFail(
              ({ status }) => status === 202,
              (answer) => {
                if (answer.status !== 503 && answer.status !== 429) refused.push(`${id}: ${answer.status}`)
                return new Unanswered({ cause: answer })
              }
            ),
            Effect.catch(() =>
              Effect.andThen(
                Effect.sleep("15 millis"),
                Effect.suspend(() => insist(name, id, text))
              )
            )
          )
      const writing = yield* Effect.forEach(people, (name) =>
        Effect.forkScoped(
          Effect.gen(function* () {
            for (let n = 0; !place.over; n++) {
              const [id, text] = [`${name}-${n}`, n % 3 === 0 ? `work 30ms ${name} ${n}` : `${name} ${n}`]
              const { body } = yield* insist(name, id, text)
              told.get(name)?.push({ id, text, seq: body.seq ?? 0 })
              yield* Effect.sleep("10 millis")
            }
          })
        )
      )
      for (let n = 0; n < restarts; n++) {
        yield* Effect.sleep("150 millis")
        yield* gateway.signal(n % 2 === 0 ? "SIGUSR1" : "SIGUSR2")
        gateway = yield* running(gateway, gateway.facts.epoch)
        assert.match(gateway.facts.lastStop, /^clean/)
        Object.assign(place, { url: gateway.url, token: gateway.token })
      }
      place.over = true
      yield* Effect.forEach(writing, Fiber.join)
      yield* until("all is answered", Effect.orDie(gateway.client.call("/v1/audit")), ({ body }) => body["open"] === 0)
      for (const name of people) {
        const path = `/v1/conversations/${name}/replies?limit=1000`
        const replies: ReadonlyArray<Pulled> = (yield* Effect.orDie(gateway.client.call(path))).body.replies ?? []
        assert.deepStrictEqual(prove(name, told.get(name) ?? [], replies).broken, [])
        for (const { id, seq, text } of told.get(name) ?? []) {
          assert.deepInclude((yield* insist(name, id, text)).body, { seq, duplicate: true })
        }
      }
      assert.deepStrictEqual(refused, [])
      const crashes = store(gateway, "select sum(crashes) as crashes from sluice_turns")
      assert.strictEqual(crashes[0]?.["crashes"], 0)
    }).pipe(Effect.scoped)
  )

  it.live("S19: under a supervisor the restart is its business: code 75, and the next process goes on", () =>
    Effect.gen(function* () {
      const environment = { SLUICE_SUPERVISED: "1" }
      const gateway = yield* start({ environment })
      yield* gateway.client.send("kim", "work 300ms one")
      yield* turnRuns(gateway, "kim")
      yield* gateway.signal("SIGUSR2")
      assert.strictEqual((yield* gateway.exited).code, 75)
      const next = yield* start({ folder: gateway.folder, environment })
      assert.lengthOf(yield* next.client.repliesUntil("kim", 1), 1)
      assert.match(next.facts.lastStop, /^clean/)
    }).pipe(Effect.scoped)
  )
})

describe("S12: a process that is stopped and goes on", () => {
  it.live("was paused and not hung: its watchdog leaves it alone, also in a stop", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ environment: { SLUICE_DRAIN_TIMEOUT: "3s" } })
      yield* gateway.client.send("kim", "work 1s patient")
      yield* turnRuns(gateway, "kim")
      yield* gateway.signal("SIGTERM")
      yield* stopping(gateway)
      yield* gateway.signal("SIGSTOP")
      yield* Effect.sleep("5 seconds")
      yield* gateway.signal("SIGCONT")
      const { code, signal } = yield* gateway.exited
      assert.strictEqual(signal, null)
      assert.include([0, 80], code)
      const { json } = yield* tool(gateway.folder, ["audit", "--json"])
      assert.deepInclude(json, { accepted: 1, balanced: true })
    }).pipe(Effect.scoped)
  )

  it.live(
    "S12: blocked in its main loop by what it stands on, it is ended at D and 1 s with a line that says why",
    () =>
      Effect.gen(function* () {
        const gateway = yield* start({
          environment: { SLUICE_DRAIN_TIMEOUT: "1s", NODE_OPTIONS: "--import ./block.mjs" },
          ...(yield* blocking)
        })
        // A turn that holds the stop in its drain until the loop is blocked.
        yield* gateway.client.send("kim", "work 30s slow")
        yield* turnRuns(gateway, "kim")
        const sent = yield* gateway.signal("SIGTERM")
        const exit = yield* gateway.exited
        assert.strictEqual(exit.signal, "SIGKILL")
        assert.isBelow(exit.at - sent, 20_000)
        assert.match(gateway.output().err.join("\n"), /ended by its watchdog: the stop did not end by its deadline/)
        const next = yield* start({ folder: gateway.folder })
        assert.match(next.facts.lastStop, /UNCLEAN/)
      }).pipe(Effect.scoped)
  )
})

/** Something in the process blocks for ever shortly after a signal has come. */
const blocking = Effect.map(temporaryFolder, (folder) => {
  const text = 'process.on("SIGTERM", () => setTimeout(() => { for (;;); }, 20))\n'
  writeFileSync(join(folder, "block.mjs"), text)
  return { folder }
})
