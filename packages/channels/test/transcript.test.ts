/**
 * What is shown of an answer that is streamed and stored: once, whole, and with
 * nothing in it that a terminal would obey.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Progress, ReplyKind } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import { Transcript } from "../src/internal/terminal/transcript.ts"
import { screen } from "./screen.ts"

describe("transcript", () => {
  const recorded = Effect.fnUntraced(function* (steps: (transcript: Transcript) => ReadonlyArray<Effect.Effect<void>>) {
    const shown = yield* screen
    yield* Effect.all(steps(new Transcript(shown, true)), { discard: true })
    return yield* shown.shown
  })
  const text = (delta: string, id = "t1"): Progress => ({ _tag: "Text", session: "s", turn: id, delta })
  const reply = (whole: string, kind: ReplyKind = "answer") => ({
    number: 1,
    kind,
    text: whole,
    turn: "t1",
    inReplyTo: []
  })
  const over: Progress = { _tag: "TurnEnded", session: "s", turn: "t1", outcome: "done" }

  it.effect(
    "W4: escape sequences and bidirectional text of an answer show as codes, also when they come in pieces",
    () =>
      Effect.gen(function* () {
        const shown = yield* recorded((transcript) => [
          transcript.happened(text("red \u001b")),
          transcript.happened(text("[31m and \u202egnp.exe\u0007\n")),
          transcript.note("tool \u001b]0;owned\u0007\nsecond line")
        ])
        assert.strictEqual(
          shown,
          "red \\u{1b}[31m and \\u{202e}gnp.exe\\u{7}\n[tool \\u{1b}]0;owned\\u{7}\\u{a}second line]\n"
        )
      })
  )

  it.effect("a character that comes in two halves is shown whole", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("\ud83d")),
        transcript.happened(text("\ude00!")),
        transcript.reply(reply("\ud83d\ude00!"))
      ])
      assert.strictEqual(shown, "\ud83d\ude00!\n")
    })
  )

  it.effect("an answer with a hole in its stream is written whole", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("one ")),
        transcript.cut,
        transcript.happened(text("three")),
        transcript.reply(reply("one two three"))
      ])
      assert.strictEqual(shown, "one \nthree\none two three\n")
    })
  )

  it.effect("a turn that is tried again begins its answer anew", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("first try")),
        transcript.happened(over),
        transcript.happened(text("second ")),
        transcript.happened(text("try")),
        transcript.reply(reply("second try"))
      ])
      assert.strictEqual(shown, "first try\nsecond try\n")
    })
  )

  it.effect("a reply that comes after its turn is over is not shown twice", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("all of it")),
        transcript.happened(over),
        transcript.reply(reply("all of it")),
        transcript.reply({ number: 2, kind: "notice", text: "a notice", inReplyTo: [] })
      ])
      assert.strictEqual(shown, "all of it\na notice\n")
    })
  )

  it.effect("the answer to a command in the middle of another one leaves that one where it is", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("begun")),
        transcript.reply({ number: 1, kind: "command", text: "status: fine", inReplyTo: [] }),
        transcript.reply(reply("begun and ended"))
      ])
      assert.strictEqual(shown, "begun\nstatus: fine\n and ended\n")
    })
  )

  it.effect("a piece that comes after the stored reply is known already", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("one ")),
        transcript.reply(reply("one two")),
        transcript.happened(text("two")),
        transcript.happened(over)
      ])
      assert.strictEqual(shown, "one two\n")
    })
  )

  it.effect("a notice in the middle of a turn is not taken for its answer", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("one ")),
        transcript.reply(reply("Still on it.", "notice")),
        transcript.happened(text("two")),
        transcript.reply(reply("one two"))
      ])
      assert.strictEqual(shown, "one \nStill on it.\ntwo\n")
    })
  )

  it.effect("a reply that is read only after the next turn began is not shown again", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("one")),
        transcript.happened(over),
        transcript.happened(text("two", "t2")),
        transcript.reply({ number: 1, kind: "command", text: "status: fine", inReplyTo: [] }),
        transcript.reply(reply("one")),
        transcript.happened(text(" and more", "t2")),
        transcript.reply({ ...reply("two and more"), number: 3, turn: "t2" })
      ])
      assert.strictEqual(shown, "one\ntwo\nstatus: fine\n and more\n")
    })
  )

  it.effect("a reply of which only a part was shown before the next turn began is written whole", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("on")),
        transcript.happened(text("two", "t2")),
        transcript.reply(reply("one")),
        transcript.reply({ ...reply("two"), number: 2, turn: "t2" })
      ])
      assert.strictEqual(shown, "on\ntwo\none\n")
    })
  )

  it.effect(
    "who speaks is said where an answer begins and where one goes on after something else, not on each line",
    () =>
      Effect.gen(function* () {
        const shown = yield* screen
        const begin = shown.write("< ")
        const transcript = new Transcript({ ...shown, begin }, true)
        yield* Effect.all(
          [
            transcript.happened(text("one\ntwo ")),
            transcript.happened({ _tag: "ToolStarted", session: "s", turn: "t1", id: "1", name: "grep" }),
            transcript.happened(text("three")),
            transcript.reply({ number: 1, kind: "command", text: "status: fine", inReplyTo: [] }),
            transcript.reply(reply("one\ntwo three four")),
            transcript.happened(over),
            transcript.reply({ number: 3, kind: "notice", text: "a notice\nof two lines", inReplyTo: [] })
          ],
          { discard: true }
        )
        assert.strictEqual(
          yield* shown.shown,
          "< one\ntwo \n[- grep ...]\n< three\n< status: fine\n<  four\n< a notice\nof two lines\n"
        )
      })
  )

  const tool = (name: string, more: { readonly elsewhere?: boolean } = {}): Progress => ({
    _tag: "ToolStarted",
    session: "http/kim#side%20work",
    turn: "t1",
    id: "1",
    name,
    ...more
  })

  it.effect("Q21: an answer with everything that was done in between is not shown again when it is stored", () =>
    Effect.gen(function* () {
      const stored = "Let me look.\n[Read notes.md]\n[half way]\nIt is 42."
      for (const more of [{}, { session: "work" }]) {
        const shown = yield* recorded((transcript) => [
          transcript.happened(text("Let me look. ")),
          transcript.happened(tool("Read notes.md")),
          transcript.happened({ _tag: "Line", session: "s", turn: "t1", text: "half way" }),
          transcript.happened(text("It is 42.")),
          transcript.happened(over),
          transcript.reply({ ...reply(stored), ...more })
        ])
        assert.strictEqual(shown, "Let me look. \n[- Read notes.md ...]\n[half way]\nIt is 42.\n")
      }
    })
  )

  it.effect("Q21: what was stored and not seen is shown with everything, from a tool to a second answer", () =>
    Effect.gen(function* () {
      const stored = "[Read notes.md]\nIt is 43."
      const shown = yield* recorded((transcript) => [
        transcript.happened(tool("Read notes.md")),
        transcript.happened(text("It is 42.")),
        transcript.reply(reply(stored))
      ])
      assert.strictEqual(shown, `[- Read notes.md ...]\nIt is 42.\n${stored}\n`)
    })
  )

  it.effect("Q15: the answer of another session comes whole and with its name, and its tools are told by it", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("In ", "t2")),
        transcript.happened(tool("Read", { elsewhere: true })),
        transcript.happened({ ...text("It is 42."), elsewhere: true } as Progress),
        transcript.reply({ ...reply("It is 42."), session: "side work" }),
        transcript.happened(text("main.", "t2")),
        transcript.reply({ ...reply("In main."), turn: "t2" })
      ])
      assert.strictEqual(shown, `In \n[[side work] - Read ...]\n[side work]\nIt is 42.\nmain.\n`)
    })
  )

  it.effect("Q15: an answer whose session is left in the middle of it is shown again as a whole", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("It ")),
        transcript.happened({ ...text("is 42."), elsewhere: true } as Progress),
        transcript.reply({ ...reply("It is 42."), session: "main" })
      ])
      assert.strictEqual(shown, "It \n[main]\nIt is 42.\n")
    })
  )

  it.effect("a turn with two replies shows each once", () =>
    Effect.gen(function* () {
      const shown = yield* recorded((transcript) => [
        transcript.happened(text("part one\npart two")),
        transcript.reply(reply("part one")),
        transcript.reply(reply("part two"))
      ])
      assert.strictEqual(shown, "part one\npart two\n")
    })
  )
})
