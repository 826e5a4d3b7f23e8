// The checker of the kill tests is checked first: each promise that could be broken is broken once, and it has to say so.
import { assert, describe, it } from "@effect/vitest"
import { prove, type Pulled, randomOf, type Told } from "./records.ts"

const told: ReadonlyArray<Told> = ["a", "b", "c"].map((id, index) => ({ id, text: `text ${id}`, seq: index + 5 }))
const answer = (number: number, ...ids: ReadonlyArray<string>): Pulled => ({
  number,
  kind: "answer",
  text: ids.map((id) => `text ${id}`).join("\n"),
  inReplyTo: ids
})
const notice = (number: number, ...ids: ReadonlyArray<string>): Pulled => ({
  ...answer(number, ...ids),
  kind: "notice"
})
const broken = (replies: ReadonlyArray<Pulled>, sent = told) => prove("kim", sent, replies).broken

describe("the proof from the clients' records", () => {
  it("finds nothing where every message is answered once, in order, alone or together", () => {
    for (const replies of [
      [answer(1, "a"), answer(2, "b"), answer(3, "c")],
      [answer(1, "a", "b"), answer(2, "c")],
      [{ number: 1, kind: "notice", text: "by the way", inReplyTo: [] }, answer(2, "a", "b", "c")]
    ]) {
      assert.deepStrictEqual(broken(replies), [])
    }
    const proof = prove("kim", told, [notice(1, "a"), answer(2, "b", "c")])
    assert.deepStrictEqual(proof, { broken: [], lost: 0, duplicated: 0, answered: 2, setAside: 1, turns: 1 })
  })

  const cases: ReadonlyArray<readonly [what: string, found: ReadonlyArray<string>, says: RegExp]> = [
    ["a message without an answer", broken([answer(1, "a"), answer(2, "c")]), /never answered: b$/],
    ["a message with two answers", broken([answer(1, "a", "b"), answer(2, "b", "c")]), /more than once: b$/],
    ["the same answer twice", broken([answer(1, "a", "b", "c"), answer(2, "a", "b", "c")]), /more than once: a, b, c$/],
    [
      "answers out of order",
      broken([answer(1, "b"), answer(2, "a"), answer(3, "c")]),
      /answer 1 is to b and not to a$/
    ],
    ["a hole in the numbers", broken([answer(1, "a", "b"), answer(3, "c")]), /reply 2 is number 3$/],
    ["a number that came twice", broken([answer(1, "a", "b"), answer(1, "c")]), /reply 2 is number 1$/],
    ["an answer to nobody's message", broken([answer(1, "a", "b", "c"), answer(2, "x")]), /never sent: x$/m],
    ["another text", broken([answer(1, "a", "b"), { ...answer(2, "c"), text: "text b" }]), /reply 2 has another text/],
    [
      "sequence numbers that go back",
      broken(
        [answer(1, "a", "b", "c")],
        told.map((one) => (one.id === "c" ? { ...one, seq: 5 } : one))
      ),
      /lower numbers$/
    ]
  ]
  for (const [what, found, says] of cases) {
    it(`finds ${what}`, () => {
      assert.isNotEmpty(found)
      assert.match(found.join("\n"), says)
    })
  }

  it("throws the same dice for the same seed", () => {
    const [first, second, other] = [randomOf(7), randomOf(7), randomOf(8)]
    const throws = Array.from({ length: 100 }, first)
    assert.deepStrictEqual(throws, Array.from({ length: 100 }, second))
    assert.notDeepEqual(throws, Array.from({ length: 100 }, other))
    assert.isTrue(throws.every((one) => one >= 0 && one < 1))
  })
})
