/** The part of a trace's time that the waterfall shows, 0 to 1. */
export interface View {
  from: number;
  to: number;
}

export const FULL_VIEW: View = { from: 0, to: 1 };
