#!/usr/bin/perl

# What the image's entrypoint makes of the templates, those of Kubernetes among
# them, does the main job; and what compose.yaml names is there.  The images
# themselves are docker/test's.

use strict;
use warnings;
use v5.36;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use YAML::XS;

use CompletionAsync::Example;
use CompletionAsync::Redis;
use CompletionAsync::Test;

my $root     = "$FindBin::Bin/../..";
my $text     = 'To be, or not to be: that is the question.';
my $expected = 'Быть или не быть: вот в чём вопрос.';
my $compose  = YAML::XS::LoadFile("$root/docker/compose.yaml");
my $t        = CompletionAsync::Test->new(emulator => { delay => 0.2 });

CompletionAsync::Example::page($t, 'page');

my %set = dockerfile_env();
my %manifest = map { ("$_->{kind} $_->{metadata}{name}" => $_) }
    map { YAML::XS::LoadFile($_) } glob "$root/conf-examples/kubernetes/*.yaml";

subtest 'the image'            => \&image;
subtest 'an empty setting'     => \&without_folder;
subtest 'the entrypoint'       => \&entrypoint;
subtest 'compose.yaml'         => \&compose;
subtest 'Kubernetes'           => \&kubernetes;

$t->done;


# the defaults of the image
sub dockerfile_env () {
    my $file = CompletionAsync::Example::slurp("$root/docker/Dockerfile");
    my ($env) = $file =~ /^ENV ((?:.*\\\n)*.*)$/m or die "no ENV\n";
    return map { /^(\w+)="?(.*?)"?\s*\\?$/ ? ($1 => $2) : () } split /\n\s*/, $env;
}


# the entrypoint, run with a directory of templates: its status and output
sub run_entrypoint ($templates, $output, $command, %env) {
    local %ENV = (
        PATH                        => $ENV{PATH},
        NGINX_ENVSUBST_TEMPLATE_DIR => $templates,
        NGINX_ENVSUBST_OUTPUT_DIR   => $output,
        NGINX_ENTRYPOINT_DIR        => $t->testdir . '/hooks',
        %env,
    );
    my $pid = open(my $out, '-|') // die "fork: $!\n";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec "$root/docker/entrypoint.sh", @$command;
        exit 127;
    }
    my $said = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8, $said);
}


# docker/nginx.conf with what it includes, fit for the test
sub whole_conf ($output) {
    my $conf = CompletionAsync::Example::slurp("$root/docker/nginx.conf");

    my ($languages) = CompletionAsync::Example::slurp("$root/conf-examples/translate.conf")
        =~ /((?:^    map .*?^    \}\n+)+)/ms;
    my @rendered = map { CompletionAsync::Example::slurp($_) } sort glob "$output/*.conf";
    my $rendered = join "\n", @rendered;

    $conf =~ s{^    include /etc/nginx/conf\.d/\*\.conf;$}{$languages}m or die "no conf.d\n";
    $conf =~ s{^    include /tmp/nginx/conf\.d/\*\.conf;$}{$rendered}m or die "no output\n";
    $conf =~ s{^\s+include\s+mime\.types;$}{}m or die "no types\n";
    $conf =~ s{/run/secrets/\S*?(\w+);}{/etc/nginx/$1;}g;
    $conf =~ s{/usr/share/nginx/translate}{@{[ $t->testdir ]}/page}g;
    return CompletionAsync::Example::render($t, $conf);
}


sub render ($templates, $name, %env) {
    my $output = $t->testdir . "/$name";
    my ($status, $said) = run_entrypoint($templates, $output, ['true'], %env);
    is $status, 0, 'rendered' or diag($said);
    return whole_conf($output);
}


# servers in the order of the templates' names: status, translate
sub main_job () {
    my %service = (port => $t->port(1));
    my %type = (headers => { 'Content-Type' => 'text/plain' });

    my $r = $t->request(GET => '/health');
    is $r->{status}, 200, 'health';
    $r = $t->request(GET => '/metrics');
    is $r->{status}, 200, 'metrics';

    $r = $t->request(POST => '/translate', %type, %service, body => $text);
    is $r->{status}, 202, 'accepted' or diag($r->{raw});
    $r = $t->poll_until_done($r->header('Location'), %service);
    is $r->json->{response}{alternatives}[0]{message}{text}, $expected, 'translated';

    $r = $t->request(GET => '/metrics', %service);
    is $r->{status}, 404, 'no metrics for clients';
}


sub image () {
    my $hook = '';
    mkdir $t->testdir . '/hooks';
    for my $name (qw(id-key redis)) {
        my $one = CompletionAsync::Example::slurp("$root/docker/$name.envsh");
        $t->write_file("hooks/10-$name.envsh", $one, 0644);
        $hook .= $one;
    }
    $t->write_file('mounted.key', 'k' x 32, 0600);

    for my $case ([ '/nowhere', 'no key' ], [ $t->testdir . '/mounted.key', 'a key' ]) {
        my ($path, $what) = @$case;
        my ($status, $said) = run_entrypoint("$root/docker/templates", $t->testdir . '/with-key',
            ['true'], %set, YC_FOLDER_ID => 'b1gmine', COMPLETION_ID_KEY_FILE => $path);
        my $conf = CompletionAsync::Example::slurp($t->testdir . '/with-key/translate.conf');
        is scalar($conf =~ /^\s+id_key file:\Q$path\E;$/m), $what eq 'a key' ? 1 : '',
            "$what of ids is mounted";
        unlike $conf, qr/\$\{/, '... and nothing is left of the template';
        unlike $conf, qr/^\s+redis/m, '... no server without one';
    }
    run_entrypoint("$root/docker/templates", $t->testdir . '/with-redis', ['true'], %set,
        YC_FOLDER_ID => 'b1gmine', COMPLETION_REDIS_URL => 'redis://valkey');
    like CompletionAsync::Example::slurp($t->testdir . '/with-redis/translate.conf'),
        qr{^\s+redis redis://valkey;$}m, 'a server of redis';

    $t->run(render("$root/docker/templates", 'image', %set, YC_FOLDER_ID => 'b1gmine'));
    main_job();
    my $r = $t->request(GET => '/', port => $t->port(1));
    like $r->header('Content-Security-Policy'), qr/default-src 'none'/, 'the page has its policy';
    $t->stop;

    my ($template, $example) = map { CompletionAsync::Example::slurp("$root/$_") }
        qw(docker/templates/translate.conf.template conf-examples/translate.conf);
    for my $line (grep { /add_header|completion_async_m(?:ess|ax)/ } split /\n/, $template) {
        my $squeezed = sub ($s) { $s =~ s/\s+/ /gr };
        like $squeezed->($example), qr/\Q@{[ $squeezed->($line) ]}\E/, 'a line of the example';
    }

    for my $name (sort keys %set) {
        next if $name =~ /^NGINX_/;
        like "$template$hook", qr/\$(?:\{$name\b|$name\b)/, "$name is used";
    }
}


sub without_folder () {
    my $output = $t->testdir . '/empty';
    run_entrypoint("$root/docker/templates", $output, ['true'], %set);
    like CompletionAsync::Example::slurp("$output/translate.conf"), qr/^\s+folder\s+;$/m,
        'an empty setting is not a variable of nginx';
}


sub entrypoint () {
    my $templates = $t->testdir . '/templates';
    mkdir $_ for $templates, "$templates/deep", $t->testdir . '/hooks';
    $t->write_file('templates/a.conf.template', 'a ${ONE} $uri ${two};');
    $t->write_file('templates/deep/b.conf.template', 'b $ONE;');
    $t->write_file('templates/c.conf', 'c $ONE;');
    $t->write_file('hooks/10-set.envsh', "export ONE=1 two=2\n", 0644);
    $t->write_file('hooks/20-say.sh', "#!/bin/sh\necho \"hook \$ONE\"\n", 0755);

    my $output = $t->testdir . '/rendered';
    my ($status, $said) = run_entrypoint($templates, $output, ['sh', '-c', 'echo "$ONE"; exit 3']);
    is $status, 3, 'becomes its command';
    is $said, "hook 1\n1\n", 'with what the hooks set';
    is CompletionAsync::Example::slurp("$output/a.conf"), 'a 1 $uri 2;', 'set variables only';
    is CompletionAsync::Example::slurp("$output/deep/b.conf"), 'b 1;', 'folders';
    ok !-e "$output/c.conf", 'templates only';

    run_entrypoint($templates, $output, ['true'], NGINX_ENVSUBST_FILTER => '^two$');
    is CompletionAsync::Example::slurp("$output/a.conf"), 'a ${ONE} $uri 2;', 'a filter';

    $t->write_file('hooks/30-fail.sh', "#!/bin/sh\nexit 4\n", 0755);
    ($status) = run_entrypoint($templates, $output, ['true']);
    is $status, 4, 'a hook that fails is the end';
    unlink glob $t->testdir . '/hooks/*';
}


sub compose () {
    my $services = $compose->{services};
    my @more = grep { $services->{$_}{profiles} } sort keys %$services;
    is "@more", 'other valkey', 'a profile has two services';
    is join(' ', grep { !$services->{$_}{profiles} } sort keys %$services),
        'edge emulator grafana prometheus', '... beside four';
    my ($edge, $other) = map { +{ %$_ } } @$services{qw(edge other)};
    delete @$_{qw(ports profiles depends_on)} for $edge, $other;
    is_deeply $other, $edge, '... one of them another edge';

    for my $name (sort keys %$services) {
        my $service = $services->{$name};
        for my $volume (grep { m{^\.} } @{ $service->{volumes} // [] }) {
            my ($from) = split /:/, $volume;
            ok -e "$root/docker/$from", "$name: $from";
        }
        for my $port (@{ $service->{ports} // [] }) {
            like $port, qr/^127\.0\.0\.1:/, "$name: $port is for this machine only";
        }
        is_deeply $service->{cap_drop}, ['ALL'], "$name: no capability";
        ok defined $service->{image} ^ defined $service->{build}, "$name: an image";
    }

    my $read = sub ($path) { YAML::XS::LoadFile("$root/docker/$path") };
    is_deeply $read->('prometheus.yml')->{scrape_configs}[0]{static_configs},
        [ { targets => ['edge:8081'] } ], 'the edge is scraped';
    is $read->('grafana/datasource.yaml')->{datasources}[0]{url}, 'http://prometheus:9090',
        'Grafana asks Prometheus';

    mkdir $t->testdir . '/hooks';
    $t->write_file('hooks/emulated.envsh',
        CompletionAsync::Example::slurp("$root/docker/emulated.envsh"), 0644);
    for my $folder ('', 'b1gmine') {
        my ($status, $said) = run_entrypoint("$root/docker/templates", $t->testdir . '/compose',
            ['sh', '-c', 'echo "$YC_FOLDER_ID $YC_SUBMIT_URL"'], %set, YC_FOLDER_ID => $folder);
        like $said, $folder ? qr{^b1gmine https://llm\.api} : qr{^b1g0+ http://emulator:},
            $folder ? 'with a folder, the real API' : 'without one, the emulator';
    }
    unlink glob $t->testdir . '/hooks/*';
}


sub kubernetes () {
    my $pod       = $manifest{'Deployment completion-async'}{spec}{template}{spec};
    my ($nginx)   = @{ $pod->{containers} };
    my %mounted   = map { ($_->{name} => $_->{mountPath}) } @{ $nginx->{volumeMounts} };
    my %template  = %{ $manifest{'ConfigMap completion-async'}{data} };
    my $templates = $t->testdir . '/configmap';

    mkdir $templates;
    for my $name (keys %template) {
        utf8::encode(my $bytes = $template{$name});
        $t->write_file("configmap/$name", $bytes);
        like $template{$name}, qr{file:\Q$mounted{secrets}\E/}, 'keys are where the Secret is'
            if $template{$name} =~ /file:/;
    }

    my %env = map { ($_->{name} => $_->{value}) } @{ $nginx->{env} };
    my $valkey = $manifest{'Service completion-async-valkey'};
    is $env{COMPLETION_REDIS}, $valkey->{metadata}{name}, 'the pods share by the Service of Valkey';
    is_deeply $valkey->{spec}{selector},
        $manifest{'StatefulSet completion-async-valkey'}{spec}{template}{metadata}{labels}, '... which has it';
    my $policy = $manifest{'NetworkPolicy completion-async-valkey'}{spec};
    is_deeply $policy->{podSelector}{matchLabels}, $valkey->{spec}{selector}, '... for whom';
    is_deeply $policy->{ingress}[0]{from}[0]{podSelector}{matchLabels},
        $manifest{'Deployment completion-async'}{spec}{template}{metadata}{labels}, '... and nobody else';
    my @argument = @{ $manifest{'StatefulSet completion-async-valkey'}{spec}{template}{spec}{containers}[0]{args} };
    like "@argument", qr/--appendonly yes .*--maxmemory-policy noeviction/, 'it forgets nothing by itself';

    my $redis = CompletionAsync::Redis->start(dir => $t->testdir);
    $t->run(render($templates, 'kubernetes', %set, %env,
        COMPLETION_REDIS => '127.0.0.1:' . $redis->port));
    main_job();
    like join(' ', @{ $redis->cli(KEYS => '*') }), qr/^completion:\{yandex\}:1:/, 'the server is used';
    $t->stop;

    my %port = map { ($_->{name} => $_->{containerPort}) } @{ $nginx->{ports} };
    like $template{"$$_[0].conf.template"}, qr/listen\s+$port{$$_[1]};/, "port $$_[1]"
        for [ translate => 'http' ], [ status => 'status' ];
    is $nginx->{$_}{httpGet}{port}, 'status', $_ for qw(readinessProbe livenessProbe);
    is $mounted{templates}, '/etc/nginx/templates', 'templates are where the image has its own';

    my $labels = $manifest{'Service completion-async-status'}{metadata}{labels};
    my $wanted = $manifest{'ServiceMonitor completion-async'}{spec}{selector}{matchLabels};
    is_deeply { map { ($_ => $labels->{$_}) } keys %$wanted }, $wanted,
        'the monitor finds its Service';
    my $public = $manifest{'Service completion-async'}{metadata}{labels};
    isnt $public->{'app.kubernetes.io/component'}, $wanted->{'app.kubernetes.io/component'},
        'and only that';

    my $alerts = CompletionAsync::Example::slurp("$root/conf-examples/alerts.yml");
    my ($relabeling) = @{ $manifest{'ServiceMonitor completion-async'}{spec}{endpoints}[0]{relabelings} };
    like $alerts, qr/up\{job="$relabeling->{replacement}"\}/, '... by the name that alerts have';

    my $service = $manifest{'Service completion-async'}{spec};
    is $service->{sessionAffinity}, undef, 'any pod answers any client';
    my ($path) = @{ $manifest{'Ingress completion-async'}{spec}{rules}[0]{http}{paths} };
    is $path->{backend}{service}{name}, 'completion-async', 'the Ingress has the Service';
    is $path->{backend}{service}{port}{name}, $service->{ports}[0]{name}, '... and its port';
    like $template{'translate.conf.template'}, qr/location \Q$path->{path}\E \{/, '... and the location';
    my ($rule) = @{ $manifest{'HTTPRoute completion-async'}{spec}{rules} };
    is $rule->{backendRefs}[0]{port}, $service->{ports}[0]{port}, 'so has the route';
    is $rule->{matches}[0]{path}{value}, $path->{path}, '... for the same';

    # What a folder may do is theirs together, but for the polls.
    my $replicas = $manifest{'Deployment completion-async'}{spec}{replicas};
    my ($second, $hour) = $template{'translate.conf.template'} =~ m{submit_rate +(\d+)r/s (\d+)r/h;};
    my ($polls) = $template{'translate.conf.template'} =~ m{poll_rate +(\d+)r/s;};
    is_deeply [ $second, $hour, $polls * $replicas ], [ 10, 5000, 50 ],
        'the quotas are those of all pods, polls divided';
    like $template{'translate.conf.template'}, qr/nodes=$replicas;/, '... and so many they are';
}
