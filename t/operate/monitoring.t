# The dashboard and the alert rules against what the module really exports.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp ();
use JSON::PP ();
use Test::More;
use CompletionAsync::Example;
use CompletionAsync::Metrics;
use CompletionAsync::Test;

my $EXAMPLES  = "$FindBin::Bin/../../conf-examples";
my $alerts    = CompletionAsync::Example::slurp("$EXAMPLES/alerts.yml");
my $text      = CompletionAsync::Example::slurp("$EXAMPLES/grafana-dashboard.json");
my $dashboard = JSON::PP->new->decode($text);

my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
$t->write_file('ids.key', 'k' x 48, 0600);
$t->run($t->http_conf(<<'EOC'));
completion_async_provider yandex { zone yandex 1m; %%PROVIDER%% id_key file:%%TESTDIR%%/ids.key;
                                   redis redis://127.0.0.1:%%PORT_1%%; }
server { listen 127.0.0.1:%%PORT%%; location / { completion_async_metrics; } }
EOC
my $metrics = CompletionAsync::Metrics->scrape($t, '/');

my (%exported, %value);
for my $family (keys %{ $metrics->{type} }) {
    my @suffix = $metrics->{type}{$family} eq 'histogram' ? qw(_bucket _sum _count) : '';
    $exported{"nginx_completion_async_$family$_"} = 1 for @suffix;
}
for my $sample (@{ $metrics->{samples} }) {
    my ($name, $labels) = @$sample;
    $value{"nginx_completion_async_$name"}{$_}{ $labels->{$_} } = 1 for keys %$labels;
}


# What an expression names that is not exported: metrics, labels, and values of labels.
sub unknown ($expr) {
    my @bad;
    while ($expr =~ /\b(nginx_completion_async_\w+)(?:\{([^}]*)\})?/g) {
        my ($name, $selector) = ($1, $2 // '');
        push @bad, $name if !$exported{$name};
        while ($selector =~ /(\w+)(=~|!~|!=|=)"([^"]*)"/g) {
            my ($label, $operator, $operand) = ($1, $2, $3);
            next if $label =~ /^(?:instance|job|provider)$/;
            my @value = keys %{ $value{$name}{$label} // {} };
            for my $one ($operator =~ /~/ ? split /\|/, $operand : quotemeta $operand) {
                push @bad, "$name: $label=$one" if !grep { /^(?:$one)$/ } @value;
            }
        }
    }
    return @bad;
}


sub knows_all ($name, @expr) {
    my @bad = map { unknown($_) } @expr;
    is scalar @bad, 0, "$name: nothing but what is exported" or diag(join "\n", @bad);
}


sub promtool_file ($content, @argument) {
    my $file = File::Temp->new(SUFFIX => '.yml');
    binmode $file, ':encoding(UTF-8)';
    print $file $content;
    close $file;
    return CompletionAsync::Metrics->promtool('', @argument, $file->filename);
}


subtest 'the check itself' => sub {
    my $name = 'nginx_completion_async_submits_total';
    is_deeply [ unknown("rate($name\{result=\"accepted\"}[5m])") ], [], 'a good expression';
    is scalar unknown("rate(nginx_completion_async_sumbits_total[5m])"), 1, 'a metric there is not';
    is scalar unknown("$name\{result=\"fine\"}"), 1, 'a value there is not';
    is scalar unknown("$name\{code=\"accepted\"}"), 1, 'a label there is not';
    is scalar unknown("$name\{result=~\"accepted|fine\"}"), 1, 'one of two values';
};


my @panels = grep { $_->{type} ne 'row' } @{ $dashboard->{panels} };
my @exprs  = map { map { $_->{expr} } @{ $_->{targets} } } @panels;

subtest 'the dashboard' => sub {
    cmp_ok scalar @panels, '>', 20, 'has panels';
    ok !defined $dashboard->{id}, 'no id of somebody\'s own Grafana';
    ok $dashboard->{uid} && $dashboard->{title} && $dashboard->{schemaVersion} >= 36, 'its head';

    my %variable = map { $_->{name} => $_ } @{ $dashboard->{templating}{list} };
    is $variable{datasource}{type}, 'datasource', 'a variable for the data source';
    is $variable{datasource}{query}, 'prometheus', 'which is Prometheus';
    like $variable{provider}{definition}, qr/^label_values\(.*, provider\)$/, 'one for providers';
    knows_all('variables', map { $_->{definition} // () } values %variable);

    my (%id, %cell, @bad);
    for my $panel (@{ $dashboard->{panels} }) {
        my $grid = $panel->{gridPos};
        push @bad, "$panel->{title}: its id" if $id{ $panel->{id} }++;
        push @bad, "$panel->{title}: too wide" if $grid->{x} + $grid->{w} > 24;
        for my $x ($grid->{x} .. $grid->{x} + $grid->{w} - 1) {
            for my $y ($grid->{y} .. $grid->{y} + $grid->{h} - 1) {
                push @bad, "$panel->{title}: over another" if $cell{"$x,$y"}++;
            }
        }
    }
    for my $panel (@panels) {
        my $name = $panel->{title};
        push @bad, "$name: no description" if !length($panel->{description} // '');
        push @bad, "$name: no unit" if !length($panel->{fieldConfig}{defaults}{unit} // '');
        push @bad, "$name: nothing to show" if !@{ $panel->{targets} };
        push @bad, "$name: a data source of its own"
            if grep { $_->{datasource}{uid} ne '${datasource}' } $panel, @{ $panel->{targets} };
        push @bad, "$name: not by provider"
            if grep { !/provider=~"\$provider"/ } map { $_->{expr} } @{ $panel->{targets} };
    }
    is scalar @bad, 0, 'each panel has what it needs' or diag(join "\n", @bad);
    knows_all('panels', @exprs);

    my $used = join ' ', @exprs, map { $_->{definition} // () } values %variable;
    is_deeply [ grep { $used !~ /\bnginx_completion_async_\Q$_\E(?:_bucket)?\b/ }
        sort keys %{ $metrics->{type} } ], [], 'and shows all there is';
};


subtest 'its expressions' => sub {
    my $n = 0;
    my @rule = map {
        my $expr = s/\$__rate_interval/5m/gr =~ s/\$(?:instance|provider)/.*/gr =~ s/'/''/gr;
        '      - {record: "a:' . $n++ . "\", expr: '$expr'}\n"
    } @exprs;
    my ($status, $output) = promtool_file(join('', "groups:\n  - name: a\n    rules:\n", @rule),
        'check', 'rules');
    is $status, 0, 'are understood by Prometheus' or diag($output);
    like $output, qr/\b$n rules found/, "all $n";
    my ($one) = promtool_file("groups:\n  - name: a\n    rules:\n      - {record: a, expr: 'sum('}\n",
        'check', 'rules');
    isnt $one, 0, 'and a wrong one is not';
};


subtest 'the alert rules' => sub {
    knows_all('rules', $alerts);
    my ($status, $output) = CompletionAsync::Metrics->promtool('', 'check', 'rules',
        "$EXAMPLES/alerts.yml");
    is $status, 0, 'promtool check rules' or diag($output);
    ($status, $output) = CompletionAsync::Metrics->promtool('', 'test', 'rules',
        "$EXAMPLES/alerts_test.yml");
    is $status, 0, 'promtool test rules' or diag($output);

    my @alert = $alerts =~ /- alert: (\w+)/g;
    my $tests = CompletionAsync::Example::slurp("$EXAMPLES/alerts_test.yml");
    for my $alert (@alert) {
        my @block = split /^  - interval:/m, $tests;
        ok((grep { /alertname: $alert\n\s+exp_alerts:\n/ } @block), "$alert: fires in a test");
        ok((grep { /alertname: $alert\n\s+exp_alerts: \[\]/ } @block), 'and does not in another');
    }
};


$t->done;
