/**
 * Compares secrets. How long it takes tells nothing of what is expected, only of
 * how long the given text is, which its sender knows.
 */

/** Whether two texts are the same; takes as long for every given text of one length. */
export const equal = (given: string, expected: string): boolean => {
  let difference = given.length ^ expected.length
  for (let index = 0; index < given.length; index++) {
    difference |= given.charCodeAt(index) ^ expected.charCodeAt(index % expected.length)
  }
  return difference === 0
}
