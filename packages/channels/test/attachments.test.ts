/**
 * D33, the half of the files: a row is accepted only after its file is on disk,
 * whatever happens on the way; and over HTTP, inline or uploaded first.
 */
import { assert, describe, it } from "@effect/vitest"
import { Attachments } from "@sluice/runtime/Attachments"
import { Attachment } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as PlatformError from "effect/PlatformError"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import { connect, files, head, serve } from "./serve.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")
const content = (...parts: ReadonlyArray<string>) => Stream.fromIterable(parts.map(bytes))

type Step = "open" | "write" | "sync" | "rename" | "syncFolder" | "remove"

const broken = PlatformError.systemError({ _tag: "Unknown", module: "FileSystem", method: "test" })

/** The real file system, which notes its steps in order and breaks at one of them. */
const observed = Effect.fnUntraced(function* (breaksAt?: Step) {
  const real = yield* FileSystem.FileSystem
  const steps: Array<Step> = []
  const step = <A, R>(name: Step, effect: Effect.Effect<A, PlatformError.PlatformError, R>) =>
    Effect.suspend((): Effect.Effect<A, PlatformError.PlatformError, R> => {
      steps.push(name)
      return name === breaksAt ? Effect.fail(broken) : effect
    })
  const wrap = (file: FileSystem.File, isFolder: boolean): FileSystem.File =>
    new Proxy(file, {
      get: (target, key) => {
        if (key === "sync") return step(isFolder ? "syncFolder" : "sync", target.sync)
        if (key === "writeAll") return (chunk: Uint8Array) => step("write", target.writeAll(chunk))
        return Reflect.get(target, key)
      }
    })
  const fs: FileSystem.FileSystem = {
    ...real,
    open: (path, options) => {
      const isFolder = options?.flag === "r"
      const open = Effect.map(real.open(path, options), (file) => wrap(file, isFolder))
      return isFolder ? open : step("open", open)
    },
    rename: (from, to) => step("rename", real.rename(from, to)),
    remove: (path, options) => step("remove", real.remove(path, options))
  }
  return { fs, steps }
})

const store = Effect.fnUntraced(function* (breaksAt?: Step) {
  const real = yield* FileSystem.FileSystem
  const folder = `${yield* real.makeTempDirectoryScoped()}/attachments`
  const { fs, steps } = yield* observed(breaksAt)
  const context = yield* Layer.build(
    Attachments.layer({ folder, limit: 1000 }).pipe(Layer.provide(Layer.succeed(FileSystem.FileSystem)(fs)))
  )
  const attachments = yield* Effect.provide(Effect.service(Attachments), context)
  return { attachments, steps, folder, list: real.readDirectory(folder), real }
})

describe("the store", () => {
  it.effect("D33: the file is written, synced, renamed and its folder synced before its hash is known to anybody", () =>
    Effect.gen(function* () {
      const { attachments, folder, real, steps } = yield* store()
      const stored = yield* attachments.put(content("hello ", "world"), { type: "text/plain", name: "note" })
      assert.deepStrictEqual(steps, ["open", "write", "write", "sync", "rename", "syncFolder"])
      assert.deepInclude(stored, { hash: sha256("hello world"), size: 11, type: "text/plain", name: "note" })
      const file = yield* real.stat(`${folder}/${stored.hash}`)
      assert.strictEqual(file.mode & 0o777, 0o600)
      assert.strictEqual((yield* real.stat(folder)).mode & 0o777, 0o700)
      assert.strictEqual(yield* real.readFileString(`${folder}/${stored.hash}`), "hello world")
    }).pipe(Effect.provide(files))
  )

  for (const breaksAt of ["open", "write", "sync", "rename", "syncFolder"] satisfies ReadonlyArray<Step>) {
    it.effect(`D33: a store that breaks at ${breaksAt} gives no hash, so no message can refer to the file`, () =>
      Effect.gen(function* () {
        const { attachments, list } = yield* store(breaksAt)
        const exit = yield* Effect.exit(attachments.put(content("hello"), { type: "text/plain" }))
        assert.isTrue(Exit.isFailure(exit))
        assert.include(JSON.stringify(exit), "Storage")
        const names = yield* list
        if (breaksAt !== "syncFolder") assert.notInclude(names, sha256("hello"))
        if (breaksAt === "write" || breaksAt === "sync") assert.deepStrictEqual(names, [])
      }).pipe(Effect.provide(files))
    )
  }

  it.effect("D33: a writer that is cut in the middle leaves nothing under the name of a hash", () =>
    Effect.gen(function* () {
      const { attachments, list } = yield* store()
      const writing = yield* attachments
        .put(Stream.concat(content("half"), Stream.never), { type: "text/plain" })
        .pipe(Effect.forkChild({ startImmediately: true }))
      yield* Fiber.interrupt(writing)
      assert.deepStrictEqual(yield* list, [])
    }).pipe(Effect.provide(files))
  )

  it.effect("content beyond the limit is refused while it arrives and leaves nothing", () =>
    Effect.gen(function* () {
      const { attachments, list } = yield* store()
      const error = yield* Effect.flip(attachments.put(content("x".repeat(600), "x".repeat(600)), { type: "a/b" }))
      assert.deepInclude(error, { _tag: "TooLarge", limit: 1000, unit: "bytes" })
      assert.deepStrictEqual(yield* list, [])
    }).pipe(Effect.provide(files))
  )

  it.effect("the same content twice is one file", () =>
    Effect.gen(function* () {
      const { attachments, list } = yield* store()
      const [one, two] = yield* Effect.all(
        [attachments.put(content("same"), { type: "a/b" }), attachments.put(content("same"), { type: "a/b" })],
        { concurrency: 2 }
      )
      assert.strictEqual(one.hash, two.hash)
      assert.deepStrictEqual(yield* list, [one.hash])
      assert.strictEqual(yield* attachments.find(one.hash), 4)
    }).pipe(Effect.provide(files))
  )

  it.effect("W4: text that is no hash is never a path", () =>
    Effect.gen(function* () {
      const { attachments } = yield* store()
      for (const name of ["../../etc/passwd", "", ".", `${"a".repeat(63)}/`, "A".repeat(64)]) {
        assert.isUndefined(yield* attachments.find(name))
        assert.isUndefined(attachments.path(name))
      }
    }).pipe(Effect.provide(files))
  )

  it.effect("a file without a row is swept after an hour, one with a row and one that was used lately are not", () =>
    Effect.gen(function* () {
      const { attachments, folder, list, real } = yield* store()
      const put = (text: string) => Effect.map(attachments.put(content(text), { type: "a/b" }), ({ hash }) => hash)
      const known = yield* put("known")
      const forgotten = yield* put("forgotten")
      const used = yield* put("used")
      yield* real.writeFileString(`${folder}/.writing-left-behind`, "half")
      yield* real.writeFileString(`${folder}/readme`, "not ours")
      // the wall clock of the files is today's
      yield* TestClock.setTime(Date.now())
      assert.deepStrictEqual(yield* attachments.sweep(new Set([known])), [])
      yield* TestClock.adjust("61 minutes")
      assert.strictEqual(yield* attachments.find(used), 4)
      const gone = yield* attachments.sweep(new Set([known]))
      assert.sameMembers([...gone], [".writing-left-behind", forgotten])
      assert.sameMembers(yield* list, [known, used, "readme"])
    }).pipe(Effect.provide(files))
  )

  it.effect("D19: a wall clock that jumps by a year does not sweep what was just uploaded", () =>
    Effect.gen(function* () {
      const { attachments, list } = yield* store()
      const { hash } = yield* attachments.put(content("fresh"), { type: "a/b" })
      const clock = yield* Clock.Clock
      const year = 365 * 24 * 3_600_000
      const jumped = new Proxy(clock, {
        get: (target, key) => {
          if (key === "currentTimeMillis") return Effect.succeed(Date.now() + year)
          if (key === "currentTimeMillisUnsafe") return () => Date.now() + year
          return Reflect.get(target, key)
        }
      })
      const swept = attachments.sweep(new Set()).pipe(Effect.provideService(Clock.Clock, jumped))
      assert.deepStrictEqual(yield* swept, [])
      assert.deepStrictEqual(yield* list, [hash])
      yield* TestClock.adjust("61 minutes")
      assert.deepStrictEqual(yield* swept, [hash])
    }).pipe(Effect.provide(files))
  )
})

describe("over HTTP", () => {
  it.live("D33: an inline attachment is stored before its message is accepted", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const answer = yield* server.post("kim", {
        text: "look",
        attachments: [{ type: "text/plain", name: "note.txt", data: btoa("hello") }]
      })
      assert.strictEqual(answer.status, 202)
      const [message] = yield* server.memory.messages
      assert.deepInclude(message?.attachments[0], {
        hash: sha256("hello"),
        size: 5,
        type: "text/plain",
        name: "note.txt"
      })
    })
  )

  it.live(
    "D33: an upload is named by its hash, in a message too; a hash that is not stored is a 400 that says to upload",
    () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const uploaded = yield* server.fetch("/v1/attachments", {
          method: "POST",
          body: "a photo",
          headers: { "content-type": "image/png" }
        })
        assert.strictEqual(uploaded.status, 201)
        assert.deepInclude(uploaded.body, { hash: sha256("a photo"), size: 7, type: "image/png" })
        const send = (hash: string) => server.post("kim", { text: "", attachments: [{ type: "image/png", hash }] })
        assert.strictEqual((yield* send(sha256("a photo"))).status, 202)
        const missing = yield* send(sha256("never uploaded"))
        assert.strictEqual(missing.status, 400)
        assert.deepInclude(missing.body, { field: "attachments[0].hash" })
        assert.include(missing.body.remedy, "POST /v1/attachments")
        assert.strictEqual((yield* server.memory.messages).length, 1)
      })
  )

  it.live("D33: a client that leaves in the middle of its upload leaves nothing to refer to", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const wire = yield* connect(server)
      yield* wire.write(
        head("POST", "/v1/attachments", { "content-type": "text/plain", "content-length": "10" }) + "hello"
      )
      yield* wire.destroy
      const half = yield* server.post("kim", { text: "", attachments: [{ type: "a/b", hash: sha256("hello") }] })
      assert.strictEqual(half.status, 400)
    })
  )

  it.live("W4: an upload over its limit is a 413, announced or not", () =>
    Effect.gen(function* () {
      const server = yield* serve({ attachmentLimit: 1000 })
      const announced = yield* server.fetch("/v1/attachments", {
        method: "POST",
        body: "x".repeat(1001),
        headers: { "content-type": "text/plain" }
      })
      assert.strictEqual(announced.status, 413)
      const wire = yield* connect(server)
      yield* wire.write(
        head("POST", "/v1/attachments", { "content-type": "text/plain", "transfer-encoding": "chunked" })
      )
      yield* wire.write(`4b0\r\n${"x".repeat(1200)}\r\n`)
      assert.include(yield* wire.until("}"), "413")
    })
  )

  it.live("W4: more attachments than a message can carry are too many", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const attachments = Array.from({ length: 17 }, () => ({ type: "a/b", data: "" }))
      const answer = yield* server.post("kim", { text: "hi", attachments })
      assert.strictEqual(answer.status, 413)
      assert.include(answer.body.detail, "16")
    })
  )

  it.live(
    "D33: files of a reply are told with it and fetched by hash, to be saved under a name that steers nothing",
    () =>
      Effect.gen(function* () {
        const server = yield* serve()
        const text = "<script>alert(1)</script>"
        const uploaded = yield* server.fetch("/v1/attachments", {
          method: "POST",
          body: text,
          headers: { "content-type": "text/html" }
        })
        const { hash } = uploaded.body as { readonly hash: string }
        const file = new Attachment({ hash, size: text.length, type: "text/html", name: "x.html" })
        yield* server.memory.reply("kim", { text: "here", kind: "command", attachments: [file] })
        const page = yield* server.fetch("/v1/conversations/kim/replies")
        assert.deepInclude(page.body.replies?.[0], {
          attachments: [{ hash, size: text.length, type: "text/html", name: "x.html" }]
        })
        const name = encodeURIComponent(`x".html'(1);`)
        const found = yield* server.fetch(`/v1/attachments/${hash}?name=${name}`)
        assert.strictEqual(found.text, text)
        assert.deepInclude(Object.fromEntries(found.headers), {
          "content-type": "application/octet-stream",
          "content-length": String(text.length),
          "content-disposition": "attachment; filename*=UTF-8''x%22.html%27%281%29%3B",
          "content-security-policy": "sandbox",
          "x-content-type-options": "nosniff"
        })
        assert.strictEqual((yield* server.fetch(`/v1/attachments/${hash}`, { token: null })).status, 401)
      })
  )

  it.live("W4: what is no hash, is not stored, or has a name with control characters is refused", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const hash of [sha256("never"), "..%2F..%2Fetc%2Fpasswd", "x"]) {
        assert.strictEqual((yield* server.fetch(`/v1/attachments/${hash}`)).status, 404, hash)
      }
      for (const name of ["?name=a%0d%0aX-Evil:1", "?name=a&name=b"]) {
        assert.strictEqual((yield* server.fetch(`/v1/attachments/${sha256("never")}${name}`)).status, 400, name)
      }
    })
  )
})
