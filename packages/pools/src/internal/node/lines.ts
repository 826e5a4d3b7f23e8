/**
 * Cuts what a program sends into lines, of which none is longer than was agreed: a program that never ends its line
 * would otherwise be collected until the memory is full.
 */

/** Takes pieces of any length; `onLine` gets each line that is not empty, `tooLong` is told of the first that is. */
export const liner = (limit: number, onLine: (line: string) => void, tooLong: () => void) => {
  let parts: Array<Buffer> = []
  let length = 0
  return (chunk: Buffer): void => {
    let from = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end))
      const line = Buffer.concat(parts).toString("utf8").trim()
      parts = []
      length = 0
      from = end + 1
      if (line !== "") onLine(line)
    }
    const rest = chunk.subarray(from)
    length += rest.length
    if (length > limit) return tooLong()
    if (rest.length > 0) parts.push(rest)
  }
}
