/**
 * What tests of channels, agents and hosts need from the runtime: suites that
 * every adapter of a kind passes, fakes of the two ports, and faults on demand.
 * No product code imports from here.
 */
export {
  type AgentCase,
  agentConformance,
  type AgentSubject,
  answerText,
  type Keeping,
  NotConforming,
  sessionOf,
  turnOf
} from "./agentConformance.ts"
export * as MemoryHandle from "./memoryHandle.ts"
export * as TestChannel from "./channels.ts"
export * as TestAgent from "./agent.ts"
export * as TestGateway from "./gateway.ts"
export * as StoreFaults from "./storeFaults.ts"
export {
  type ChannelCase,
  channelConformance,
  type ChannelSubject,
  type Person,
  type RunningChannel,
  type Told
} from "./channelConformance.ts"
