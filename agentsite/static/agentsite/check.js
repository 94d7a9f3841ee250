// The page of a network check that is not over: look again soon.

const PACE = 1500;

setTimeout(() => location.reload(), PACE);
