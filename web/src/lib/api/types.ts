// The API's documents under short names. `openapi.ts` is generated from kedge/api/schemas.py: `npm run types`.

import type { components } from './openapi.ts'

type Schemas = components['schemas']

export type Overview = Schemas['Overview']
export type Books = Schemas['Books']
export type DayResult = Schemas['DayResult']
export type Freshness = Schemas['Freshness']
export type Following = Schemas['Following']
export type Funnel = Schemas['Funnel']
export type Position = Schemas['Position']
export type RiskInfo = Schemas['RiskInfo']
export type EquitySeries = Schemas['EquitySeries']
export type Order = Schemas['Order']
export type Fill = Schemas['Fill']
export type Decision = Schemas['Decision']
export type Prediction = Schemas['Prediction']
export type Candle = Schemas['Candle']
export type InstrumentList = Schemas['InstrumentList']
export type InstrumentRow = Schemas['InstrumentRow']
export type ModelDetail = Schemas['ModelDetail']
export type HealthOverview = Schemas['HealthOverview']
export type Trace = Schemas['TraceDocument']
export type TraceNode = Schemas['TraceNode']
export type Found = Schemas['Found']
export type SearchResult = Schemas['SearchResult']
export type RiskStatus = Schemas['RiskStatus']
export type RiskMeasure = Schemas['RiskMeasure']
export type Concentration = Schemas['Concentration']
export type RiskVar = Schemas['RiskVar']
export type RiskStress = Schemas['RiskStress']
export type RiskLimits = Schemas['RiskLimits']
export type LimitRow = Schemas['LimitRow']
export type BrakeStatus = Schemas['BrakeStatus']
export type BrakeTrigger = Schemas['BrakeTrigger']
export type BrakeLevel = Schemas['BrakeLevel']
export type Engaged = Schemas['Engaged']
export type EngageLevel = Engaged['level'] & ('reduce_only' | 'halted' | 'flattening')
export type BrakeHistory = Schemas['BrakeHistory']
export type DrillPage = Schemas['DrillPage']
export type DryRun = Schemas['DryRun']
export type Message = Schemas['Message']
export type Topic = Schemas['Subscribe']['topics'][number]

export interface Page<Row> {
  items: Row[]
  next_cursor: string | null
}
