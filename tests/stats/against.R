# Right values for test_against_r.py: one line per result, its name and its numbers.
say <- function(name, ...) cat(name, format(c(...), digits = 15, scientific = TRUE, trim = TRUE), "\n")

sleep <- c(1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4)
darwin <- c(49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)
tied <- c(2, 2, -1, 3, 0, 5, -2, 4, 1, 3)
many <- round(sin(1:120) + 0.2, 1) # with ties
fifty <- cos(seq_len(50)^2) + 0.3 # without

# The paired t, plain and with the correction of 5 folds, which R has not: its formula.
t <- t.test(sleep)
say("paired_t", t$statistic, t$p.value, t$conf.int)
error <- sd(sleep) * sqrt(1 / 10 + 1 / 4)
say("five_folds", mean(sleep) / error, 2 * pt(-abs(mean(sleep) / error), 9), mean(sleep) + qt(c(.025, .975), 9) * error)

# Two one-sided tests
lower <- t.test(sleep, mu = -2, alternative = "greater")
upper <- t.test(sleep, mu = 2, alternative = "less")
say("tost", upper$statistic, max(lower$p.value, upper$p.value), t.test(sleep, conf.level = .9)$conf.int)

# Wilcoxon: exact without ties, exact with ties and zeros by an enumeration of all signs, and the normal approximation
for (name in c("darwin", "fifty")) {
  w <- wilcox.test(get(name), exact = TRUE, conf.int = TRUE)
  say(paste0("wilcoxon_", name), w$estimate, w$p.value, w$conf.int)
}
ranks <- rank(abs(tied[tied != 0]))
signs <- as.matrix(expand.grid(rep(list(0:1), length(ranks))))
sums <- signs %*% ranks
observed <- sum(ranks[tied[tied != 0] > 0])
say("wilcoxon_tied", min(observed, sum(ranks) - observed), min(1, 2 * min(mean(sums <= observed), mean(sums >= observed))))
w <- wilcox.test(many, exact = FALSE, correct = FALSE)
say("wilcoxon_many", w$p.value)

# Corrections of families
p <- c(.016, .019, .607, .0004, .03, .03, .9)
say("holm", p.adjust(p, "holm"))
say("benjamini_hochberg", p.adjust(p, "BH"))

# Power
for (n in c(3, 10)) say(paste0("power_", n), power.t.test(n, delta = 1, sd = 1.2, type = "paired", strict = TRUE)$power)
say("seeds_needed", ceiling(power.t.test(delta = 1, sd = 1.2, power = .8, type = "paired", strict = TRUE)$n))

# Effects of a 2 x 2 grid with seeds as blocks: F of a against its interaction with seeds, as Error(seed / (a * b)) does it
grid <- expand.grid(b = 1:2, a = 1:2, seed = 1:5)
grid$score <- .75 + .01 * sin(seq_len(20)^2) + .004 * grid$a + .02 * cos(grid$seed)
fit <- summary(aov(score ~ factor(a) * factor(b) + Error(factor(seed) / (factor(a) * factor(b))), grid))
for (stratum in names(fit)[-1]) {
  row <- fit[[stratum]][[1]]
  say(paste0("effect_", gsub("Error: |factor\\(|\\)|seed:", "", stratum)), row[1, "F value"], row[1, "Pr(>F)"])
}
say("scores", grid$score)

# Seeds and images as crossed random effects: mean squares of aov, and the interval with a quantile for each part
outcomes <- outer(1:4, 1:30, function(seed, image) sign(round(sin(7 * image) + .6 * cos(5 * seed) + .8 * sin(3 * seed * image))))
long <- data.frame(d = c(outcomes), seed = factor(row(outcomes)), image = factor(col(outcomes)))
squares <- summary(aov(d ~ seed + image, long))[[1]][["Mean Sq"]]
say("outcomes", t(outcomes))
say("mean_squares", squares)
error <- c(squares[1], max(0, squares[2] - squares[3])) / 120
say("crossed", mean(outcomes) + c(-1, 1) * sqrt(sum(qt(.975, c(3, 29))^2 * error)))

# One pair of networks, and how often one wins
say("mcnemar", binom.test(3, 17)$p.value)
say("improvement", binom.test(7, 9)$conf.int)

# Ranks over data sets: rows are data sets, columns variants
data_sets <- outer(1:7, 1:4, function(d, k) round(.6 + .02 * d + .008 * k + .01 * sin(5 * d * k), 4))
friedman <- friedman.test(data_sets)
say("friedman", friedman$statistic, friedman$p.value)
say("data_sets", t(data_sets))
