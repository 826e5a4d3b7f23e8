// The last line of `npm test` is what people and machines believe: these are the ways in which something can be broken
// without a single failed test.
import { describe, expect, it } from "vitest"
import { count, line } from "../../scripts/count.mjs"

const green = { numPassedTests: 7, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] }

describe("the count of npm test", () => {
  it("is the runner's own when all is well", () => {
    expect(line(count(green, 0))).toBe("7 passed, 0 failed")
  })

  it("counts a file that could not be loaded as a failure, and one whose tests failed only by its tests", () => {
    const testResults = [
      { status: "failed", assertionResults: [] },
      { status: "failed", assertionResults: [{ status: "passed" }] },
      { status: "failed", assertionResults: [{ status: "passed" }, { status: "failed" }] },
      { status: "passed", assertionResults: [{ status: "passed" }] }
    ]
    expect(line(count({ ...green, numFailedTests: 1, testResults }, 1))).toBe("7 passed, 3 failed")
  })

  it("counts an error outside any test as a failure", () => {
    expect(line(count(green, 1))).toBe("7 passed, 1 failed")
  })

  it("counts a runner that was killed, or that wrote no report, as a failure", () => {
    expect(line(count(green, null))).toBe("7 passed, 1 failed")
    expect(line(count(undefined, 0))).toBe("0 passed, 1 failed")
  })

  it("says what was skipped", () => {
    expect(line(count({ ...green, numPendingTests: 2, numTodoTests: 1 }, 0))).toBe("7 passed, 0 failed, 3 skipped")
  })
})
