// The small tools under a model: thoughts that are left out however they are cut, guesses at tokens, summaries that fit,
// and when a server wants to be asked again.
import { assert, describe, it } from "@effect/vitest"
import { maxKept } from "@sluice/runtime/Agent"
import * as Schema from "effect/Schema"
import { fromAnswer, retryAfterOf } from "../../src/internal/model/failures.ts"
import { fitting } from "../../src/internal/model/memory.ts"
import { withoutThoughts } from "../../src/internal/model/thinking.ts"
import { estimate, firstTokens, ratioOf } from "../../src/internal/model/tokens.ts"

const shown = (pieces: ReadonlyArray<string>): string => {
  const thoughts = withoutThoughts()
  return pieces.map((piece) => thoughts.take(piece)).join("") + thoughts.rest()
}

const Cuts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })))

const cutAt = (text: string, cuts: ReadonlyArray<number>): ReadonlyArray<string> => {
  const places = [
    0,
    ...cuts.map((cut) => Math.min(cut, text.length)).toSorted((one, other) => one - other),
    text.length
  ]
  return places.slice(1).map((end, index) => text.slice(places[index], end))
}

describe("thoughts", () => {
  it.prop("are left out wherever an answer is cut, and nothing else is", [Cuts, Schema.String], ([cuts, words]) => {
    assert.strictEqual(shown(cutAt("\n<think>is <b> 1 < 2?</thi</think>\n\nyes <think>", cuts)), "yes <think>")
    const plain = `a${words}`
    assert.strictEqual(shown(cutAt(plain, cuts)), plain)
  })

  it("an answer that only begins like a thought is shown", () => {
    assert.strictEqual(shown(["<", "thi"]), "<thi")
    assert.strictEqual(shown(["<this>"]), "<this>")
  })
})

describe("tokens", () => {
  it.prop(
    "the beginning of a text has as many as were asked for, and whole characters",
    [Schema.String, Schema.Int],
    ([text, n]) => {
      const tokens = Math.abs(n) % 50
      const begin = firstTokens(text, tokens)
      assert.isTrue(text.startsWith(begin))
      assert.isAtMost(estimate(begin), tokens + 1)
      if (text.isWellFormed()) assert.isTrue(begin.isWellFormed())
    }
  )

  it("a server's count corrects the guess within bounds", () => {
    assert.strictEqual(ratioOf(150, 100), 1.5)
    assert.strictEqual(ratioOf(1, 100), 0.6)
    assert.strictEqual(ratioOf(9000, 100), 4)
    assert.strictEqual(ratioOf(0, 100), 1)
  })
})

describe("a summary", () => {
  it("fits into what is kept, in any alphabet", () => {
    for (const unit of ["a", "\u00e9", "\u4e2d", "\u{1f980}", "\n", '"']) {
      const kept = fitting(unit.repeat(20_000))
      assert.isAtMost(new TextEncoder().encode(JSON.stringify(kept)).length, maxKept - 1000)
      assert.isTrue(kept.isWellFormed())
    }
  })
})

describe("when to ask again", () => {
  const now = Date.parse("2026-11-21T06:00:00Z")
  const cases: ReadonlyArray<readonly [headers: Readonly<Record<string, string>>, millis: number | undefined]> = [
    [{ "retry-after": "3" }, 3000],
    [{ "retry-after": "0.5" }, 500],
    [{ "retry-after": "Sat, 21 Nov 2026 06:00:10 GMT" }, 10_000],
    [{ "retry-after": "Sat, 21 Nov 2026 05:00:00 GMT" }, 0],
    [{ "retry-after-ms": "250", "retry-after": "3" }, 250],
    [{ "retry-after": "soon" }, undefined],
    [{ "retry-after": "-1" }, undefined],
    [{}, undefined]
  ]
  it("is read from seconds, dates and milliseconds", () => {
    for (const [headers, millis] of cases) assert.strictEqual(retryAfterOf(headers, now), millis)
  })
})

describe("a refusal", () => {
  const cases: ReadonlyArray<readonly [status: number, body: unknown, kind: string]> = [
    [429, { error: { message: "Rate limit reached" } }, "Transient"],
    [429, { error: { message: "no", code: "insufficient_quota" } }, "Operator"],
    [
      400,
      { type: "error", error: { type: "invalid_request_error", message: "Your credit balance is too low" } },
      "Operator"
    ],
    [500, { error: { message: "context size exceeded" } }, "TooLong"],
    [500, { error: { message: "image input is not supported" } }, "Images"],
    [529, undefined, "Transient"],
    [502, "<html>bad gateway</html>", "Transient"],
    [301, undefined, "Operator"],
    [413, undefined, "Input"],
    [422, { detail: [{ loc: ["body"], msg: "field required" }] }, "Input"]
  ]
  it("has its class, wherever its words stand", () => {
    for (const [status, body, kind] of cases) assert.strictEqual(fromAnswer(status, body).kind, kind, `${status}`)
  })
})
