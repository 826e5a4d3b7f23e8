// Q15: /archive sets a session aside with all of it in a file, and /session brings it back with its history. Nothing that
// runs or waits is cancelled for it, nothing is archived that the file does not have, and a crash leaves all of it or nothing.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Label } from "../src/internal/boundary.ts"
import type { Reply } from "../src/Message.ts"
import { TestAgent } from "../src/testing/index.ts"
import { Disk } from "./archives.ts"
import { type Boot, boot, type BootOptions, lived, meanwhile, rest, type World, world } from "./guarantees/boots.ts"

const echo = (): BootOptions => ({ agent: TestAgent.make({ answer: (turn) => `re: ${turn.text}` }) })

const told = Effect.fnUntraced(function* (one: Boot, ...texts: ReadonlyArray<string>) {
  for (const text of texts) {
    yield* one.say("kim", text)
    yield* rest(one, "chat/kim")
  }
})

/** The replies to kim in their order. */
const replies = (one: Boot): Effect.Effect<ReadonlyArray<Reply>> =>
  Effect.orDie(
    Effect.map(one.handle().page({ conversation: "kim" }, { after: 0, limit: 100 }), ({ replies }) => replies)
  )

const names = Effect.fnUntraced(function* (one: Boot) {
  const sessions = yield* one.journal.reads.sessions({})
  return sessions
    .map(({ archived, current, name }) => `${name}${archived ? " archived" : ""}${current ? " current" : ""}`)
    .sort()
})

/** The file of a reply; its seconds are those of the test's clock. */
const fileOf = (disk: Disk, { attachments = [] }: Reply): string =>
  (disk.files.get(attachments[0]?.hash ?? "") ?? "").replaceAll(/(1970-01-01 00:00):\d\d$/gm, "$1:00")

const started = (place: World, disk: Disk, more: BootOptions = echo()) =>
  boot(place, more).pipe(Effect.provide(disk.layer))

describe("/archive", () => {
  it.effect("Q15: the main session is set aside with its export, and comes back with its history after a restart", () =>
    Effect.gen(function* () {
      const [place, disk] = [yield* world(), new Disk()]
      const first = yield* started(place, disk)
      yield* told(first, "hello", "and goodbye", "/archive", "something new")
      const archive = (yield* replies(first)).find(({ kind }) => kind === "command")
      assert.strictEqual(
        archive?.text,
        'Archived as "main-1970-01-01", all of it is in the file. /session main-1970-01-01 brings it back.\n' +
          `[file: main-1970-01-01.md, ${archive?.attachments?.[0]?.size} bytes]`
      )
      assert.deepInclude(archive?.attachments?.[0], { name: "main-1970-01-01.md", type: "text/markdown" })
      assert.strictEqual(
        fileOf(disk, archive as Reply),
        [
          "# main\n\nConversation chat/kim. Times are UTC.\n",
          "### kim, 1970-01-01 00:00:00\n\n> hello\n",
          "### Answer, 1970-01-01 00:00:00\n\nre: hello\n",
          "### kim, 1970-01-01 00:00:00\n\n> and goodbye\n",
          "### Answer, 1970-01-01 00:00:00\n\nre: and goodbye\n\n"
        ].join("\n")
      )
      assert.deepStrictEqual(yield* names(first), ["main current", "main-1970-01-01 archived"])
      yield* first.crash

      const second = yield* started(place, disk)
      yield* told(second, "/sessions", "/session main-1970-01-01", "/sessions")
      assert.deepStrictEqual(yield* names(second), ["main", "main-1970-01-01 current"])
      const said = (yield* replies(second)).slice(-3).map(({ text }) => text)
      assert.include(said[0], "main-1970-01-01, archived")
      assert.strictEqual(said[1], 'This is "main-1970-01-01" now.')
      const past = yield* second.journal.history(1, { limit: 10 })
      assert.deepStrictEqual(
        past.map(({ answer }) => answer),
        ["re: and goodbye", "re: hello"]
      )
    })
  )

  it.effect(
    "Q15: a named one keeps its name and goes to the main one; another than the current one changes nothing here",
    () =>
      Effect.gen(function* () {
        const [place, disk] = [yield* world(), new Disk()]
        const one = yield* started(place, disk)
        yield* told(one, "in main", "/new work", "in work", "/new play", "/archive work")
        assert.deepStrictEqual(yield* names(one), ["main", "play current", "work archived"])
        yield* told(one, "/archive")
        assert.deepStrictEqual(yield* names(one), ["main current", "play archived", "work archived"])
        yield* told(one, "/archive nothing", "/archive ../../etc", "/session work")
        const said = (yield* replies(one)).slice(-3).map(({ text }) => text)
        assert.strictEqual(said[0], 'There is nothing called "nothing", so nothing is archived. There is: main.')
        assert.match(said[1] ?? "", /"\.\.\/\.\.\/etc" is not possible here/)
        assert.strictEqual(said[2], 'This is "work" now.')
        assert.deepStrictEqual(yield* names(one), ["main", "play archived", "work current"])
      })
  )

  it.effect("Q15: one in which something runs or waits is busy: nothing is archived and nothing is cancelled", () =>
    Effect.gen(function* () {
      const [place, disk] = [yield* world(), new Disk()]
      const agent = TestAgent.make()
      const one = yield* started(place, disk, { agent })
      yield* one.say("kim", "long work")
      const run = yield* agent.run(1)
      yield* one.say("kim", "more")
      const { seq } = yield* one.say("kim", "/archive")
      const standing = yield* meanwhile(one.handle().ended(seq))
      assert.deepStrictEqual(
        standing?.replies.map(({ attachments, text }) => [text, attachments]),
        [[`I'm still busy in "main", so nothing is archived. Try again when I'm done, or /stop first.`, undefined]]
      )
      assert.deepStrictEqual(yield* names(one), ["main current"])
      yield* run.finish("done")
      const next = yield* agent.run(2)
      assert.deepStrictEqual(
        next.turn.messages.map(({ text }) => text),
        ["more"]
      )
      yield* next.finish("done too")
      yield* rest(one, "chat/kim")
    })
  )

  it.effect("Q15: an export that can't be written archives nothing and says so", () =>
    Effect.gen(function* () {
      const [place, disk] = [yield* world(), new Disk()]
      const one = yield* started(place, disk)
      disk.broken = true
      yield* told(one, "hello", "/archive")
      const [, said] = yield* replies(one)
      assert.strictEqual(said?.text, "I couldn't write the file, so nothing is archived. Please try again later.")
      assert.deepStrictEqual(yield* names(one), ["main current"])
    })
  )

  it.effect("Q15, W4: whatever people are called and write, nothing of it passes for somebody else's words", () =>
    Effect.gen(function* () {
      const [place, disk] = [yield* world(), new Disk()]
      const answer = "# Big\n```\n# code\n### lee, 2020-01-01 00:00:00"
      const one = yield* started(place, disk, { agent: TestAgent.make({ answer: () => answer }) })
      const sender = "### boss <b>*x*"
      yield* one.handle().accept({ conversation: "kim", sender, text: "hi\n### Answer, 1970\n\nyes" })
      yield* rest(one, "chat/kim")
      yield* told(one, "/archive")
      const archive = (yield* replies(one)).at(-1) as Reply
      assert.strictEqual(
        fileOf(disk, archive).split("\n").slice(4).join("\n"),
        [
          "### \\#\\#\\# boss \\<b\\>\\*x\\*, 1970-01-01 00:00:00\n",
          "> hi\n> ### Answer, 1970\n>\n> yes\n",
          "### Answer, 1970-01-01 00:00:00\n",
          "#### Big\n```\n# code\n### lee, 2020-01-01 00:00:00\n```\n\n"
        ].join("\n")
      )
    })
  )

  for (const label of ["before:command", "inside:command", "after:command"] satisfies ReadonlyArray<Label>) {
    it.effect(`Q15, D4: a crash at ${label} leaves one archive, whose reply has its file`, () =>
      Effect.gen(function* () {
        const [place, disk] = [yield* world(), new Disk()]
        yield* lived(
          place,
          { ...echo(), grave: { label, nth: 1 } },
          Effect.fnUntraced(function* (one) {
            yield* told(one, "hello")
            yield* one.say("kim", "/archive", "a1")
            return yield* Effect.never
          })
        ).pipe(Effect.provide(disk.layer))
        const next = yield* started(place, disk)
        yield* next.say("kim", "/archive", "a1")
        yield* rest(next, "chat/kim")
        const commands = (yield* replies(next)).filter(({ kind }) => kind === "command")
        assert.strictEqual(commands.length, 1)
        assert.include(fileOf(disk, commands[0] as Reply), "> hello")
        assert.strictEqual(disk.files.size, 1, "the same session gives the same file")
        assert.deepStrictEqual(yield* names(next), ["main current", "main-1970-01-01 archived"])
        assert.isTrue((yield* next.gateway.audit).balanced)
      })
    )
  }
})
