/**
 * The keys and the screen over plain streams: what a person types, pastes and
 * presses, and how an answer is drawn above the line that is being typed.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { PassThrough, Writable } from "node:stream"
import { arrived, interactive, messages, piped, wrap } from "../src/internal/node/keyboard.ts"
import { drawn } from "./screen.ts"

const recording = () => {
  let text = ""
  const output = Object.assign(
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString("utf8")
        done()
      }
    }),
    { columns: 40 }
  )
  return { output, text: () => text }
}

const desk = Effect.fnUntraced(function* () {
  const input = new PassThrough()
  const { output, text } = recording()
  const keyboard = yield* interactive({ input, output })
  return {
    keyboard,
    text,
    press: (keys: string) => input.write(keys),
    said: (count: number) => Effect.map(Stream.runCollect(Stream.take(keyboard.input, count)), (all) => [...all])
  }
})

describe("a terminal", () => {
  it.live("a line is a message, and it can be edited before it is sent", () =>
    Effect.gen(function* () {
      const { press, said } = yield* desk()
      press("helo\u001b[Dl\r")
      assert.deepStrictEqual(yield* said(1), ["hello"])
    })
  )

  it.live("a paste of several lines is one message, sent by the Enter after it", () =>
    Effect.gen(function* () {
      const { press, said } = yield* desk()
      press("look: \u001b[200~one\rtwo\r\u001b[201~three\r")
      press("next\r")
      assert.deepStrictEqual(yield* said(2), ["look: one\ntwo\nthree", "next"])
    })
  )

  it.live("Ctrl-C interrupts and clears what was typed, Ctrl-D on an empty line ends the input", () =>
    Effect.gen(function* () {
      const { keyboard, press } = yield* desk()
      press("half a line\u0003")
      yield* Stream.runDrain(Stream.take(keyboard.interrupts, 1))
      press("whole\r\u0004")
      assert.deepStrictEqual([...(yield* Stream.runCollect(keyboard.input))], ["whole"])
    })
  )

  it.live("an answer is written above the prompt, which keeps what is being typed", () =>
    Effect.gen(function* () {
      const { keyboard, press, text } = yield* desk()
      press("typing")
      const before = text().length
      yield* keyboard.screen.write("an answer\n")
      const drawn = text().slice(before)
      assert.match(drawn, /an answer\n.*> typing/su)
      // the cursor goes back to where it was: after the text that is being typed
      assert.isTrue(drawn.endsWith("\u001b[9G"))
    })
  )

  it.live("what the gateway says begins with a mark at a terminal, and with none in a pipe", () =>
    Effect.gen(function* () {
      const { keyboard, text } = yield* desk()
      yield* keyboard.screen.begin ?? Effect.die("no mark")
      yield* keyboard.screen.write("an answer\n")
      assert.include(text(), "< an answer\n")
      const { output } = recording()
      assert.isUndefined(piped({ input: new PassThrough(), output, notes: output }).screen.begin)
    })
  )

  it.live("an answer that comes in pieces grows in its line and is there once", () =>
    Effect.gen(function* () {
      const { keyboard, text } = yield* desk()
      yield* keyboard.screen.write("one ")
      const before = text().length
      yield* keyboard.screen.write("two\n")
      // one row up, over the line that was not finished, and down again whole
      const drawn = text().slice(before)
      assert.isTrue(drawn.startsWith("\u001b[1A"))
      assert.match(drawn, /0J.*one two\n/su)
    })
  )

  it.live("Q20, Q21: a sign stands under the answer while something is done, and is gone when it is not", () =>
    Effect.gen(function* () {
      const { keyboard, press, text } = yield* desk()
      const { working, write } = keyboard.screen
      const rows = () => drawn(text(), 40)
      const works = (isIt: boolean) => working?.(isIt) ?? Effect.die("no sign")
      yield* works(true)
      assert.deepStrictEqual(rows(), ["(working ...)", ">"])
      yield* write("one ")
      assert.deepStrictEqual(rows(), ["one", "(working ...)", ">"])
      press("typed")
      yield* works(true)
      yield* write("two\nthree")
      assert.deepStrictEqual(rows(), ["one two", "three", "(working ...)", "> typed"])
      yield* works(false)
      assert.deepStrictEqual(rows(), ["one two", "three", "> typed"])
    })
  )

  it.live("what is entered while an answer grows stands above it, and neither is lost", () =>
    Effect.gen(function* () {
      const { keyboard, press, said, text } = yield* desk()
      const { working = () => Effect.void, write } = keyboard.screen
      yield* working(true)
      yield* write("half of ")
      const long = "a question that needs more than one row of this terminal"
      press(`${long}\r`)
      assert.deepStrictEqual(yield* said(1), [long])
      assert.deepStrictEqual(drawn(text(), 40), [...cut(`> ${long}`, 40), "half of", "(working ...)", ">"])
      yield* write("an answer\n")
      yield* working(false)
      assert.deepStrictEqual(drawn(text(), 40), [...cut(`> ${long}`, 40), "half of an answer", ">"])
    })
  )
})

/** As a terminal wraps. */
const cut = (text: string, columns: number) =>
  Array.from({ length: Math.ceil(text.length / columns) }, (_, row) =>
    text.slice(row * columns, (row + 1) * columns).trimEnd()
  )

describe("text", () => {
  it("lines that come together are one message, commands stand alone, empty ones are none", () => {
    assert.deepStrictEqual(messages(["a", "", "b", "/stop", "c", "", "  "]), ["a\n\nb", "/stop", "c"])
    assert.deepStrictEqual(messages(["", " "]), [])
  })

  it("a write that ends with its line is a message, a file in pieces is held together", () => {
    assert.deepStrictEqual(arrived("", "hi\n", false), ["", ["hi"]])
    assert.deepStrictEqual(arrived("", "first\nsec", false), ["first\nsec", []])
    assert.deepStrictEqual(arrived("first\nsec", "ond", true), ["", ["first\nsecond"]])
    const [held, sent] = arrived("", `${"x".repeat(200_000)}\nrest`, false)
    assert.deepStrictEqual([held, sent.length], ["rest", 1])
  })

  it("lines are wrapped at spaces where there are any, wide characters count double, nothing is lost", () => {
    assert.deepStrictEqual(wrap("aaa bbb ccc", 9), ["aaa bbb", "ccc"])
    assert.deepStrictEqual(wrap("abcdefghij", 5), ["abcd", "efgh", "ij"])
    assert.deepStrictEqual(wrap("木木木木", 5), ["木木", "木木"])
    assert.deepStrictEqual(wrap("a\n\nb", 10), ["a", "", "b"])
  })
})

describe("pipes", () => {
  it.live("the input's lines are messages until its end, answers and notes go apart", () =>
    Effect.gen(function* () {
      const input = new PassThrough()
      const output = recording()
      const notes = recording()
      const keyboard = piped({ input, output: output.output, notes: notes.output })
      input.end("hi\nthere")
      assert.deepStrictEqual([...(yield* Stream.runCollect(keyboard.input))], ["hi\nthere"])
      yield* keyboard.screen.write("an answer\n")
      yield* keyboard.screen.note("(a note)")
      assert.deepStrictEqual([output.text(), notes.text()], ["an answer\n", "(a note)\n"])
    })
  )
})
