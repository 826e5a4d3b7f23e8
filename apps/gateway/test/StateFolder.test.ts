// The state directory and what is secret in it: made private, refused when others could read or write it, each refusal
// with a remedy and code 78, and never with the secret itself.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import * as Address from "../src/configuration/Address.ts"
import * as StateFolder from "../src/StateFolder.ts"
import * as Tokens from "../src/Tokens.ts"
import { temporaryFolder } from "./harness.ts"

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

const source = (stateDirectory: string, given: Partial<Tokens.Source> = {}): Tokens.Source => ({
  environment: {},
  tokenFile: undefined,
  origin: "",
  stateDirectory,
  ...given
})

const values = (tokens: Tokens.Tokens) => tokens.map(Redacted.value)

const refusal = <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(effect), ({ message }) => message)

describe("the state directory", () => {
  it.effect("is made with mode 0700, its parents too", () =>
    Effect.gen(function* () {
      const folder = join(yield* temporaryFolder, "a", "b")
      yield* StateFolder.prepare(folder, "")
      assert.strictEqual(mode(folder), "700")
      assert.deepStrictEqual(readdirSync(folder), [])
    })
  )

  it.effect("is closed to others when it was open", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      chmodSync(folder, 0o777)
      yield* StateFolder.prepare(folder, "")
      assert.strictEqual(mode(folder), "700")
    })
  )

  it.effect("is refused with its place and a remedy when it is a file, below a file, or can't be written", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "file")
      writeFileSync(file, "")
      assert.match(
        yield* refusal(StateFolder.prepare(file, "SLUICE_STATE_DIR")),
        /\(SLUICE_STATE_DIR\): can't be used: it is a file.*use another one/
      )
      assert.match(yield* refusal(StateFolder.prepare(join(file, "x"), "")), /a part of the path is a file/)
      // No file can be made in /proc, whoever asks: a read-only disk for tests that run as root.
      assert.match(
        yield* refusal(StateFolder.prepare("/proc/self/fdinfo", "")),
        /can't be used: .*correct its permissions/
      )
    })
  )

  it.effect("files in it appear whole or not at all, with mode 0600", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "x")
      StateFolder.writeWhole(path, "one")
      StateFolder.writeWhole(path, "two")
      assert.strictEqual(readFileSync(path, "utf8"), "two")
      assert.strictEqual(mode(path), "600")
      assert.throws(() => StateFolder.writeWhole(join(folder, "missing", "x"), "three"))
      assert.deepStrictEqual(readdirSync(folder), ["x"])
    })
  )
})

describe("the token", () => {
  it.effect("is made at the first start, private and long, and stays the same", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const first = values(yield* Tokens.read(source(folder), { create: true }))
      assert.match(first[0] ?? "", /^[0-9a-f]{64}$/)
      assert.strictEqual(mode(join(folder, "token")), "600")
      assert.deepStrictEqual(values(yield* Tokens.read(source(folder), { create: true })), first)
      assert.deepStrictEqual(readdirSync(folder), ["token"])
    })
  )

  it.effect("two gateways that start at once end up with the same one", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const read = Effect.map(Tokens.read(source(folder), { create: true }), values)
      const all = yield* Effect.all([read, read, read], { concurrency: "unbounded" })
      assert.deepStrictEqual(all[0], all[1])
      assert.deepStrictEqual(all[1], all[2])
    })
  )

  it.effect("comes from the variable before the file, and from a named file before the state directory", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "named")
      writeFileSync(file, "b".repeat(20), { mode: 0o600 })
      const environment = { SLUICE_TOKEN: "a".repeat(20) }
      const both = source(folder, { environment, tokenFile: file })
      assert.deepStrictEqual(values(yield* Tokens.read(both, { create: true })), ["a".repeat(20)])
      assert.deepStrictEqual(values(yield* Tokens.read(source(folder, { tokenFile: file }), { create: true })), [
        "b".repeat(20)
      ])
      assert.isFalse(existsSync(join(folder, "token")))
    })
  )

  it.effect("two are valid during a rotation, the first one is current; three are refused", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [one, two, three] = ["1", "2", "3"].map((digit) => digit.repeat(16))
      const read = (SLUICE_TOKEN: string) =>
        Tokens.read(source(folder, { environment: { SLUICE_TOKEN } }), { create: false })
      assert.deepStrictEqual(values(yield* read(`${one}\n${two}\n`)), [one, two])
      assert.match(yield* refusal(read(`${one} ${two} ${three}`)), /more than two tokens/)
    })
  )

  it.effect("is refused when others can read its file, with the command that puts it right", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "token")
      writeFileSync(file, "x".repeat(20))
      chmodSync(file, 0o644)
      const message = yield* refusal(Tokens.read(source(folder), { create: true }))
      assert.include(message, "others can read it (mode 644); run: chmod 600")
    })
  )

  it.effect("never appears in the message that refuses it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (const bad of ["short", "x".repeat(600), "é".repeat(20)]) {
        const message = yield* refusal(
          Tokens.read(source(folder, { environment: { SLUICE_TOKEN: bad } }), { create: false })
        )
        assert.notInclude(message, bad)
        assert.include(message, "openssl rand -hex 32")
      }
    })
  )

  it.effect("a file that is missing, a folder, empty or a broken link is named", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      symlinkSync(join(folder, "nowhere"), join(folder, "link"))
      writeFileSync(join(folder, "empty"), "\n", { mode: 0o600 })
      mkdirSync(join(folder, "folder"), { mode: 0o700 })
      for (const [name, expected] of [
        ["missing", /can't be read: it does not exist/],
        ["link", /can't be read: it does not exist/],
        ["empty", /holds no token/],
        ["folder", /can't be read/]
      ] as const) {
        const message = yield* refusal(Tokens.read(source(folder, { tokenFile: join(folder, name) }), { create: true }))
        assert.match(message, expected, name)
      }
    })
  )
})

describe("the address", () => {
  it.effect("is private, read back, and removed only by the gateway that wrote it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const address = { url: "http://127.0.0.1:4747", pid: 4711, epoch: 3 }
      Address.write(folder, address)
      assert.strictEqual(mode(join(folder, "address.json")), "600")
      assert.deepStrictEqual(Address.read(folder), address)
      Address.remove(folder, 4712)
      assert.deepStrictEqual(Address.read(folder), address)
      Address.remove(folder, 4711)
      assert.isUndefined(Address.read(folder))
    })
  )

  it.effect("that is no address counts as none", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (const text of [
        "",
        "{",
        "[]",
        '{"url": "file:///etc/passwd", "pid": 1, "epoch": 1}',
        '{"url": "http://x/../y"}'
      ]) {
        writeFileSync(join(folder, "address.json"), text)
        assert.isUndefined(Address.read(folder), text)
      }
    })
  )
})
