// Commands that programs give: the same table as people's words, a text that means the same, a reason that stays with the
// row, and a way to the conversations of every channel that is or was there.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Channel from "../src/Channel.ts"
import { isCommand, parseCommand } from "../src/internal/commands/parse.ts"
import { Invalid } from "../src/Message.ts"
import { TestAgent } from "../src/testing/index.ts"
import { boot, given, rest, type World, world } from "./guarantees/boots.ts"

describe("the table of commands", () => {
  it("Q15: every command that is told of can be given in parts, and is read as what a person writes", () => {
    const examples: Readonly<Record<string, ReadonlyArray<string>>> = {
      "/new": ["work", "planner"],
      "/session": ["work"],
      "/queue": ["steer"],
      "/timeout": ["5"],
      "/notices": ["off"],
      "/model": ["opus"],
      "/forget": ["yes"],
      "/allow": ["3", "do it again"]
    }
    assert.isAbove(Channel.commands.length, 17)
    for (const { arguments: form, command, does } of Channel.commands) {
      const args = examples[command] ?? []
      const text = Channel.commandText(command.toUpperCase(), args)
      assert.strictEqual(text, [command, ...args].join(" "))
      assert.isTrue(isCommand(command) && does !== "")
      assert.notInclude(["Unknown", "Refused"], parseCommand(String(text))._tag)
      if (form.startsWith("<")) assert.instanceOf(Channel.commandText(command), Invalid)
      else assert.strictEqual(Channel.commandText(command), command)
      assert.instanceOf(Channel.commandText(command, ["a", "b", "c"]), Invalid)
    }
    assert.isUndefined(Channel.commandText("constructor"))
    assert.isUndefined(Channel.commandText("/"))
  })

  it("Q15: the page of commands has every one of them with its arguments, and no other", () => {
    const page = readFileSync(fileURLToPath(new URL("../../../docs/commands.md", import.meta.url)), "utf8")
    const rows = page.slice(0, page.indexOf("\n## ")).matchAll(/^\| ((?:`[^`]+`(?:, )?)+) \|/gm)
    const listed = [...rows].flatMap(([, cell = ""]) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text))
    // `/new` stands in two rows, without and with its arguments; `/forget yes` as it is written.
    const known = Channel.commands.map(({ arguments: form, command }) => `${command} ${form}`.trim())
    const written = listed.map((text) => text.replaceAll("\\|", "|"))
    for (const one of known) {
      const [word = ""] = one.split(" ")
      assert.isTrue(
        written.some((text) => text.split(" ")[0] === word),
        one
      )
    }
    assert.deepStrictEqual(
      written.filter((text) => !known.includes(text)),
      ["/new", "/new <name> [persona]", "/forget yes"]
    )
  })

  it.effect("Q15: what was not done says why in the ledger, and in how the row ended", () =>
    Effect.gen(function* () {
      const current = yield* boot(yield* world(), { agent: TestAgent.make({ answer: ({ text }) => text }) })
      const ends: Array<string | undefined> = []
      for (const text of ["/nothing", "/session x", "/timeout 0", "/allow 7 yes", "/archive x", "/stop", "/help"]) {
        const { seq } = yield* current.say("kim", text)
        ends.push((yield* current.handle().ended(seq))?.ended?.why)
      }
      assert.deepStrictEqual(ends, ["unknown", "missing", "refused", "missing", "missing", "", ""])
      const { balanced, detail, ends: sums } = yield* current.gateway.audit
      assert.isTrue(balanced)
      assert.strictEqual(sums.command, 7)
      const told = { "command(missing)": 3, "command(refused)": 1, "command(unknown)": 1, command: 2 }
      assert.deepStrictEqual(detail, told)
    })
  )
})

describe("a command of the host's", () => {
  it.effect("Q14, Q15: runs where the person is, answers there, is deduplicated, and begins no conversation", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      const { gateway } = current
      yield* current.say("kim", "a")
      yield* agent.run(1)
      const stop = { id: "1", sender: "operator", text: "/stop" }
      const first = yield* gateway.command("chat/kim", stop)
      const again = yield* gateway.command("chat/kim", stop)
      assert.deepStrictEqual([again?.seq, again?.duplicate], [first?.seq, true])
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["Stopped."])
      const [session] = yield* gateway.sessionsOf("chat/kim")
      assert.strictEqual(session?.conversationKey, "chat/kim")
      assert.isUndefined(yield* gateway.command("chat/lee", stop))
      assert.deepStrictEqual(yield* gateway.sessionsOf("chat/lee"), [])
      assert.strictEqual((yield* gateway.sessions).length, 1)
    })
  )
})

/** The same store, with only these of its channels. */
const without = (place: World, ...names: ReadonlyArray<string>): World => ({
  ...place,
  far: Object.fromEntries(Object.entries(place.far).filter(([name]) => !names.includes(name)))
})

describe("a channel that is not there any more", () => {
  it.effect(
    "C8: a restart without it takes posts and commands for its conversations, and they are held, not lost",
    () =>
      Effect.gen(function* () {
        const place = yield* world({ chat: "keyed", chatter: "keyed", page: "keyed" })
        const agent = TestAgent.make({ answer: ({ text }) => text })
        const first = yield* boot(place, { agent })
        for (const [peer, channel] of [
          ["kim", "chat"],
          ["lee", "chatter"],
          ["max", "page"]
        ] as const) {
          yield* first.say(peer, "hello", undefined, channel)
          yield* rest(first, `${channel}/${peer}`)
        }
        yield* first.stop
        const second = yield* boot(without(place, "page", "chatter"), { agent })
        yield* second.gateway.post("page/max", { text: "The disk is nearly full." })
        yield* second.gateway.command("page/max", { sender: "operator", text: "/status" })
        yield* second.gateway.post("chatter/lee", { text: "one" })
        yield* second.gateway.post("team/lee", { text: "for the host's own" })
        const found = (yield* second.gateway.sessions).map(({ conversationKey }) => conversationKey)
        assert.deepStrictEqual(found.toSorted(), ["chat/kim", "chatter/lee", "host/team%2Flee", "page/max"])
        yield* second.stop
        const third = yield* boot(place, { agent })
        yield* rest(third, "page/max", "chatter/lee")
        const seen = place.far.page?.seen("max") ?? []
        assert.deepStrictEqual(seen.slice(0, 2), ["hello", "The disk is nearly full."])
        assert.match(seen[2] ?? "", /^main: idle/)
        assert.deepStrictEqual(place.far.chatter?.seen("lee"), ["hello", "one"])
        assert.deepStrictEqual(given(agent), ["hello", "hello", "hello"])
      })
  )
})
