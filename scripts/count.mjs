// What the last line of `npm test` says, from the report of the test runner. Whatever is broken has to show in it: also
// a file that could not be loaded, which has no tests to fail, and an error that came after its test had passed.

/**
 * What is read of vitest's JSON report.
 * @typedef {object} Report
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numPendingTests
 * @property {number} numTodoTests
 * @property {ReadonlyArray<{ status: string, assertionResults: ReadonlyArray<{ status: string }> }>} testResults
 */

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/**
 * @param {Report | undefined} report undefined when the runner did not get as far as writing one
 * @param {number | null} code the runner's exit code, null when it was killed
 * @returns {Counts}
 */
export const count = (report, code) => {
  if (report === undefined) return { passed: 0, failed: 1, skipped: 0 }
  const notLoaded = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")
  ).length
  const failed = report.numFailedTests + notLoaded
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && code !== 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests
  }
}

/** @param {Counts} counts */
export const line = ({ failed, passed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`
